"""Repositories of this host on their way into machines: read without running anything of theirs, and made into one tar
stream that holds a whole repository, so that the guest needs no git to receive it."""
