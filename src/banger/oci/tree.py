"""The merged tree of an image while layers are applied to it, with the lookups of a real root directory.

Symbolic links in the parents of a name are followed inside the tree: absolute ones from its root, ``..`` never above
it, at most 40 for one name, as the kernel does. Parents that do not exist are made (root's, 0755). Devices and fifos
are kept as nodes until the end, because they hide and are linked to like files; `finish` drops and counts them. It
also drops a lost+found that is no directory: the file system has its own.
"""

from collections.abc import Callable, Container

from banger.disk.ext4.node import Content, Node

HOPS = 40
LOST_AND_FOUND = b"lost+found"
IMPLIED_LIMIT = 1 << 18
"""Most directories that are made because no layer names them."""

STEP_LIMIT = 1 << 25
"""Most components of names that are looked up, all names together: a short name may lead through very long ones."""

Found = tuple[Node, int]
"""A directory, and how deep it lies below the root."""


class OutOfBounds(ValueError):
    """A name asks for more than a tree gives. The text says of what."""


class Tree:
    """A root directory and what is in it."""

    def __init__(self) -> None:
        self.root = Node.directory()
        self._folders: dict[bytes, Found] = {}
        self._made = self._steps = 0

    def forget(self) -> None:
        """Drop what is remembered of lookups; to be called when a directory or a symbolic link goes away."""
        self._folders.clear()

    def folder(self, path: bytes, mtime: int) -> Found:
        """The directory at ``path``, made where it is missing; a file in the way is replaced.

        Raises `OutOfBounds`.
        """
        found = self._folders.get(path)
        if found is None:
            trail = self._walk(path, (), lambda: self._implied(mtime))
            assert trail is not None
            found = self._folders[path] = (trail[-1], len(trail) - 1)
        return found

    def _implied(self, mtime: int) -> Node:
        self._made += 1
        if self._made > IMPLIED_LIMIT:
            raise OutOfBounds("too many directories that no entry names")
        return Node.directory(mtime=mtime)

    def older(self, path: bytes, own: Container[bytes]) -> Node | None:
        """The directory at ``path`` if there is one; a symbolic link whose spelling is in ``own`` is none."""
        trail = self._walk(path, own, None)
        return trail[-1] if trail else None

    def find(self, path: bytes, *, follow: bool = False) -> Node | None:
        """What is at ``path``; with ``follow``, what a symbolic link there leads to."""
        for _ in range(HOPS):
            folder, _, name = path.rpartition(b"/")
            trail = self._walk(folder, (), None)
            if trail is None:
                return None
            if name in (b"", b".", b".."):
                return trail[-1] if name != b".." else trail[max(0, len(trail) - 2)]
            node = trail[-1].children.get(name)
            if node is None or not (follow and node.is_symlink):
                return node
            path = node.target if node.target.startswith(b"/") else folder + b"/" + node.target
        raise OutOfBounds("it leads through too many symbolic links")

    def _walk(self, path: bytes, own: Container[bytes], make: Callable[[], Node] | None) -> list[Node] | None:
        """The directories from the root to ``path``. Where one is missing: what ``make`` gives, or None for all."""
        trail = [self.root]
        left = path.split(b"/")[::-1]
        spelled = b""
        hops = 0
        while left:
            part = left.pop()
            self._steps += 1
            if self._steps > STEP_LIMIT:
                raise OutOfBounds("the layers take too many steps to look up")
            if part in (b"", b"."):
                continue
            if part == b"..":
                if len(trail) > 1:
                    trail.pop()
                continue
            if not hops:
                spelled = spelled + b"/" + part if spelled else part
            node = trail[-1].children.get(part)
            if node is not None and node.is_symlink:
                hops += 1
                if hops > HOPS:
                    raise OutOfBounds("it leads through too many symbolic links")
                if spelled in own and hops == 1:
                    return None
                if node.target.startswith(b"/"):
                    trail = [self.root]
                left.extend(node.target.split(b"/")[::-1])
                continue
            if node is None or not node.is_directory:
                if make is None:
                    return None
                node = trail[-1].children[part] = make()
            trail.append(node)
        return trail

    def finish(self) -> tuple[set[Content], int]:
        """Drop devices and fifos. Returns the contents of all files, and how many were dropped."""
        contents: set[Content] = set()
        dropped = 0
        lost = self.root.children.get(LOST_AND_FOUND)
        if lost is not None and not lost.is_directory:
            del self.root.children[LOST_AND_FOUND]
        waiting = [self.root]
        while waiting:
            children = waiting.pop().children
            gone = []
            for name, node in children.items():
                if node.content is not None:
                    contents.add(node.content)
                elif node.is_directory:
                    waiting.append(node)
                elif not (node.is_symlink or node.is_regular):
                    gone.append(name)
            for name in gone:
                del children[name]
            dropped += len(gone)
        return contents, dropped
