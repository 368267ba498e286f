"""Workspaces: the owner's repository in a machine, on its way in and on its way out.

What is here is said of repositories and patches alone; it knows no daemon and no machine.
"""
