"""Edits an ext4 file without mounting it and without root, by the plans of `banger.helper.edits`.

After a refusal the file system is sound but may hold a part of the edit; after a death, a cancellation or a full host
disk it may be anything. So edit a copy, and publish it after. All times that an edit leaves are ``when``, so that the
same edit of the same bytes gives the same bytes. Nothing is synced.
"""

import os
import tempfile
from collections.abc import Sequence

from banger import errors, proc
from banger.disk import debugfs
from banger.disk.contents import Entry, Inode, listing, read, resolve, stat
from banger.disk.ext4.superblock import MADE_AT
from banger.disk.guest_file import Edit, GuestFile
from banger.privileged.ext4 import edits as plans
from banger.text import printable

__all__ = ["Entry", "Inode", "apply", "check", "listing", "read", "resolve", "stat"]


async def apply(image: str, edits: Sequence[Edit], *, scratch: str, when: int = MADE_AT) -> None:
    """Carry out ``edits``, in any order: a file replaces a file or link, missing parents are made (root's, 0755).

    ``scratch`` is a directory where the contents wait for debugfs, one that is swept when this process dies meanwhile.
    Raises `errors.UsageError` for a path that cannot be edited offline, `errors.UnusableDisk`, `errors.DiskFull`.
    """
    for each in edits:
        if isinstance(each, GuestFile) and each.source is not None and not os.path.isfile(each.source):
            raise errors.NoSuchPath(path=each.source, kind="file")
    try:
        with tempfile.TemporaryDirectory(prefix="edit-", dir=scratch) as directory:

            def place(number: int, content: bytes) -> str:
                path = os.path.join(directory, str(number))
                with open(path, "wb") as file:
                    file.write(content)
                return path

            await debugfs.follow(image, plans.carry_out(edits, place, when))
    except OSError as fault:
        raise errors.from_os(fault, image) from fault


async def check(image: str, seconds: float = 600) -> None:
    """A full check by e2fsck that changes nothing. Raises `errors.UnusableDisk` for whatever it would repair."""
    with debugfs.checked(image, write=False):
        path = os.path.abspath(image)
        result = await proc.run(["e2fsck", "-fn", path], timeout=seconds, check=False)
    if result.status != 0:
        told = [line for line in result.stdout.split(b"\n") if line.strip() and not line.startswith(b"Pass ")]
        raise errors.UnusableDisk(path=image, reason=f"it is damaged: {printable(b' / '.join(told[:2]), 200)}")
