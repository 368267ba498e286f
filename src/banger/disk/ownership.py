"""The ownership pass: recorded owners and modes for many paths at once.

A file system that was built from a plain directory by somebody else's tool (``mke2fs -d``) has the builder's ids. The
pass finds the inodes by listing each directory once, sends only what differs, by inode number, and lists the
directories again to see that it came out: 60,000 paths take seconds, in two processes.
"""

import stat as modes
from collections.abc import Mapping, Sequence

from banger.disk.debugfs import follow
from banger.disk.ext4.superblock import MADE_AT
from banger.disk.guest_file import Owner
from banger.privileged.ext4 import debugfs, edits, inodes


async def apply(image: str, owners: Sequence[Owner], *, when: int = MADE_AT) -> None:
    """Give each path its owner, and its permissions where a mode is given. Of two paths to one file the last counts.

    Raises `errors.UsageError` for a path that cannot be edited offline, `errors.NoSuchPath`, `errors.UnusableDisk`.
    """
    await follow(image, _pass(owners, when))


def _pass(owners: Sequence[Owner], when: int) -> debugfs.Plan[None]:
    for each in owners:
        debugfs.spelled(each.path)
    folders = list(dict.fromkeys(_folder(each.path) for each in owners))
    looks = [["stat <2>"], *([f"ls -p {debugfs.quoted(folder + '/.')}"] for folder in folders)]
    before = _entries(folders, (yield debugfs.Asked(looks)))
    wanted: dict[int, tuple[int, int, int]] = {}
    for each in owners:
        entry = before.get(each.path)
        if entry is None:
            raise debugfs.Missing(each.path)
        mode = entry.mode if each.mode is None else modes.S_IFMT(entry.mode) | modes.S_IMODE(each.mode)
        wanted[entry.inode] = (each.uid, each.gid, mode)
    commands = [f"set_current_time {when}"]
    for entry in {each.inode: each for each in before.values()}.values():
        asked_for = wanted.get(entry.inode)
        if asked_for is not None and asked_for != (entry.uid, entry.gid, entry.mode):
            commands += edits.fields(f"<{entry.inode}>", *asked_for)
    if len(commands) == 1:
        return
    changed, *listed = yield debugfs.Asked([commands, *looks], write=True)
    if changed.complaints:
        raise debugfs.Unusable(debugfs.words(changed.complaints))
    for entry in _entries(folders, listed).values():
        if wanted.get(entry.inode, (entry.uid, entry.gid, entry.mode)) != (entry.uid, entry.gid, entry.mode):
            raise debugfs.Unusable(f"inode {entry.inode} did not become what was asked for")


def _folder(path: str) -> str:
    """The directory that a path lies in, without its last slash: the root is the empty string."""
    return path.rpartition("/")[0]


def _entries(folders: Sequence[str], answers: Sequence[debugfs.Answer]) -> Mapping[str, inodes.Entry]:
    """Everything in ``folders`` by its path, and the root."""
    root = inodes.inode_of(answers[0])
    assert root is not None
    found = {"/": inodes.Entry(b"", root.number, root.mode, root.uid, root.gid, 0)}
    for folder, answer in zip(folders, answers[1:], strict=True):
        for entry in inodes.rows_of(answer):
            found[f"{folder}/{entry.name.decode('utf-8', 'surrogateescape')}"] = entry
    return found
