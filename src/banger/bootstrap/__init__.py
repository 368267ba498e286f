"""The tools that a repository asks for, in versions: read from its files on the host, installed by mise in the machine.

What stands in the files is data of nobody's: it is bounded, never executed here, and a version is held against a closed
grammar before it becomes a word of a command line.
"""
