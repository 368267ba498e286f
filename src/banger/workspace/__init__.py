"""Repositories of this host on their way into machines, and back as patches.

In: read without running anything of theirs, and made into one tar stream that holds a whole repository, so that the
guest needs no git to receive it. Out: what a guest says has changed, read and judged before anybody uses it. Nothing
here knows a daemon or a machine.
"""
