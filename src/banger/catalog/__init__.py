"""Catalogs: the names that ``image pull`` and ``kernel pull`` know, in TOML files.

One file comes with banger (`builtin.toml`); others are the user's, ``CONFIG/catalogs/*.toml``, whose entries win.
`entry` has the structures and their checks, `reader` finds, reads and merges the files.
"""
