"""The initrd: the guest agent in its loader role, and the few modules that it needs to reach the root.

Three archives, which the kernel unpacks one after another. Two are shared by all machines of a kernel, the modules
first, so that another agent can be put in without the module tree::

    /banger/modules         one path a line, in load order
    /banger/modules.vsock   the same, of those that are loaded beside where the way to the host is a vsock
    /banger/lib/*.ko        the modules, unpacked

    /init               the agent
    /dev/console        for init's first words (the kernel opens it before anything is mounted)

The third is a machine's own::

    /banger/files/...   what the loader copies onto the root before it hands over, with mode and owner
    /banger/assets/...  the same, but a root that cannot take it is no reason to give up
    /banger/defaults/...  likewise, where the guest has nothing of that name that it has made or changed

Nothing is compressed: under emulation unpacking costs more than reading.
"""

import stat
from collections.abc import Iterable, Sequence

from banger import errors
from banger.disk.guest_file import Directory, GuestFile
from banger.kernels import cpio, modules

FILES, ASSETS, DEFAULTS = "banger/files", "banger/assets", "banger/defaults"


def modules_archive(tree: str | None) -> bytes:
    """The first part of a kernel's initrd; ``tree`` is None for a kernel with everything built in."""
    entries = [cpio.directory("banger"), cpio.directory("banger/lib")]
    packed: set[str] = set()
    for name, wanted in (("modules", modules.NEEDED), ("modules.vsock", modules.NEEDED_FOR_VSOCK)):
        listed = ""
        for path in modules.load_order(tree, wanted) if tree is not None else []:
            assert tree is not None
            target = f"banger/lib/{modules.name_of(path)}.ko"
            if target not in packed:
                packed.add(target)
                entries.append(cpio.regular(target, modules.read(tree, path)))
                listed += f"/{target}\n"
        entries.append(cpio.regular(f"banger/{name}", listed.encode("ascii")))
    return cpio.archive(entries)


def agent_archive(agent: bytes) -> bytes:
    """The second part: the agent as init, and a console for its first words."""
    return cpio.archive(
        [
            cpio.directory("dev"),
            cpio.character_device("dev/console", 0o600, 5, 1),
            cpio.regular("init", agent, 0o755),
        ]
    )


def machine_archive(files: Sequence[GuestFile | Directory], below: str = FILES) -> bytes:
    """An archive that one machine appends: its files below /banger/files or another place, parents first.

    A directory that is given is made with its mode and owner, where the guest has none.
    """
    modes = {f"{below}/{_relative(each.path)}": each for each in files if isinstance(each, Directory)}
    entries = []
    for place in dict.fromkeys((*_parents(files, below), *modes)):
        asked = modes.get(place, Directory(place))
        entries.append(cpio.directory(place, asked.mode)._replace(uid=asked.uid, gid=asked.gid))
    seen: set[str] = set()
    for file in files:
        if isinstance(file, Directory):
            continue
        path = f"{below}/{_relative(file.path)}"
        if path in seen:
            raise errors.UsageError(detail=f"{file.path} is given twice")
        seen.add(path)
        if file.target is not None:
            content = file.target.encode("utf-8", "surrogateescape")
            mode = stat.S_IFLNK | 0o777
        else:
            content, mode = _content(file), stat.S_IFREG | stat.S_IMODE(file.mode)
        entries.append(cpio.Entry(path, mode, content, file.uid, file.gid))
    return cpio.archive(entries)


def _content(file: GuestFile) -> bytes:
    if file.source is None:
        return file.content
    with open(file.source, "rb") as source:
        return source.read()


def _relative(path: str) -> str:
    """``path`` below the root, refused when it could mean another place or cannot be a cpio name."""
    parts = path.split("/")[1:]
    if not path.startswith("/") or "\0" in path or not parts or any(each in ("", ".", "..") for each in parts):
        raise errors.UsageError(detail=f"{path!r} is no absolute path of a file in the guest")
    return "/".join(parts)


def _parents(files: Iterable[GuestFile | Directory], below: str) -> list[str]:
    """Every directory that the files lie in, each after the one that holds it."""
    found = {"banger": None, below: None}
    for file in files:
        parts = _relative(file.path).split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            found["/".join((below, *parts[:depth]))] = None
    return list(found)
