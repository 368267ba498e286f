"""bangerd-root: the few things that need root, and nothing else.

Standard library only, and it imports nothing of banger's: the package is shipped as one root-owned zipapp, which
systemd runs with ``python3 -IS``. All imports within it are relative.

`operation` says what a privileged operation is, `registry` lists them all, `host` is what the installation allows,
`values` turns requests into operations. One module each owns the operations of one kind of resource.
"""
