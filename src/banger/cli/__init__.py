"""The command line: a face of the daemon, as thin as it can be.

`verbs` is the table; the parser, the help pages, the completion and the reference page are made from it. Each verb
is a module ``cmd_<path>.py`` with one function ``run``, imported only when its verb was chosen. Results go to stdout,
progress and prose to stderr; only `main` prints errors and decides the exit status.
"""
