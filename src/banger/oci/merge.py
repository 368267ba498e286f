"""Applies the entries of a layer to the tree that the older layers made, as extracting them in order would.

* Whiteouts and opaque markers act on older layers only, wherever they stand in the archive: they are applied first.
* A directory over a directory changes its attributes alone; any other pair replaces the old with all that is in it.
* The last of several entries of one name wins. A hard link names an earlier file of this layer or of an older one,
  may name a symbolic link, and keeps the attributes of what it names.
* The root stays root's, 0755.
* A relative symbolic link may not climb above the root, counted from the directory that it really lies in.
"""

import stat

from banger import errors
from banger.disk.ext4.node import Node
from banger.oci.entry import DEVICE, FILE, FOLDER, HARD_LINK, OPAQUE, SYMLINK, WHITEOUT, Entry
from banger.oci.tree import OutOfBounds, Tree
from banger.text import printable

LINK_LIMIT = 65_000
"""Names that an ext4 inode can have."""

_TYPES = {FILE: stat.S_IFREG, SYMLINK: stat.S_IFLNK, DEVICE: stat.S_IFIFO}


def apply(tree: Tree, layer: str, entries: list[Entry]) -> None:
    """Apply one layer, which is called ``layer`` in errors. Raises `errors.UnsafeLayer`."""
    folders = {entry.path for entry in entries if entry.kind == FOLDER}
    entry: Entry | None = None
    try:
        for entry in entries:
            if entry.kind == WHITEOUT or entry.kind == OPAQUE:
                _hide(tree, entry, folders)
        for entry in entries:
            if entry.kind < WHITEOUT:
                _place(tree, entry)
    except (_Refused, OutOfBounds) as refusal:
        assert entry is not None
        raise errors.UnsafeLayer(layer=layer, entry=printable(entry.path), reason=str(refusal)) from None


class _Refused(ValueError):
    """An entry that the tree does not allow."""


def _hide(tree: Tree, entry: Entry, folders: set[bytes]) -> None:
    if entry.kind == OPAQUE:
        folder = tree.older(entry.path, folders)
        if folder is not None:
            folder.children.clear()
    else:
        parent, _, name = entry.path.rpartition(b"/")
        folder = tree.older(parent, folders)
        if folder is not None:
            folder.children.pop(name, None)
    tree.forget()


def _place(tree: Tree, entry: Entry) -> None:
    path = entry.path
    if not path:
        tree.root.mtime, tree.root.xattrs = entry.mtime, entry.xattrs
        return
    parent, _, name = path.rpartition(b"/")
    folder, depth = tree.folder(parent, entry.mtime)
    old = folder.children.get(name)
    if entry.kind == FOLDER:
        if old is not None and old.is_directory:
            old.mode = stat.S_IFDIR | entry.mode
            old.uid, old.gid, old.mtime, old.xattrs = entry.uid, entry.gid, entry.mtime, entry.xattrs
            return
        node = Node(stat.S_IFDIR | entry.mode, entry.uid, entry.gid, entry.mtime)
        node.xattrs = entry.xattrs
    elif entry.kind == HARD_LINK:
        node = _linked(tree, entry)
    else:
        node = Node(_TYPES[entry.kind] | entry.mode, entry.uid, entry.gid, entry.mtime)
        node.xattrs = entry.xattrs
        node.content = entry.content
        if entry.kind == SYMLINK:
            _check_target(entry.link, depth)
            node.mode = stat.S_IFLNK | 0o777
            node.target = entry.link
    if old is not None and (old.is_directory or old.is_symlink):
        tree.forget()
    folder.children[name] = node


def _linked(tree: Tree, entry: Entry) -> Node:
    node = tree.find(entry.link) if entry.link else None
    if node is None:
        raise _Refused(f"a hard link to {printable(entry.link)}, which does not exist")
    if node.is_directory:
        raise _Refused(f"a hard link to the directory {printable(entry.link)}")
    node.links += 1
    if node.links >= LINK_LIMIT:
        raise _Refused("a file with too many hard links")
    return node


def _check_target(target: bytes, depth: int) -> None:
    if target.startswith(b"/"):
        return
    for part in target.split(b"/"):
        if part == b"..":
            depth -= 1
        elif part and part != b".":
            depth += 1
        if depth < 0:
            raise _Refused(f"a symbolic link to {printable(target)}, which lies above the root")
