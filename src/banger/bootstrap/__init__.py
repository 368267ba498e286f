"""What is installed in a machine: packages of its distribution, and the tools that a repository asks for, in versions.

Packages are named by a profile; tools are read from the repository's files on the host, and installed by mise. What
stands in the files is data of nobody's: it is bounded, never executed here, and a name or a version is held against a
closed grammar before it becomes a word of a command line.
"""
