"""The default kernel and image for tests that boot guests: made once per machine, then given to each test.

They are made by banger itself, in a state directory below the build cache (`kept`). A test gets a copy of that
directory in which the large read-only files are hard links (copies, where the file systems differ). The directory's
name carries a key of the sources that make images, so that a change there makes the stock anew.
"""

import functools
import os
import shutil
import subprocess
from pathlib import Path

from tests import kept
from tests.home import TREE, Home, make_home

SOURCES = (
    "src/banger/images",
    "src/banger/kernels",
    "src/banger/oci",
    "src/banger/disk",
    "src/banger/store",
    "src/banger/guest/assets.py",
    "src/banger/guest/image",
    "guest-agent",
)
"""What decides the form of a kernel and an image on disk."""

READ_ONLY = (".ext4", "bzImage", "vmlinux", ".cpio")
"""Files that banger never writes again once they are in place; all others are copied."""

IMAGE = "debian-bookworm"


def key() -> str:
    """A digest of the sources that decide what the stock looks like."""
    found = (path for source in SOURCES for path in sorted([TREE / source, *(TREE / source).rglob("*")]))
    return kept.key(*(path for path in found if path.is_file() and path.suffix != ".pyc"))


@functools.cache
def stock() -> Path:
    """The state directory that has everything, made on first use."""
    return kept.keep("stock", key(), _make) / "state"


def _make(directory: Path) -> None:
    with make_home(directory) as home:
        home.banger("kernel", "pull", timeout=600, check=True)
        home.banger("image", "pull", IMAGE, timeout=1200, check=True)


def give(home: Home) -> None:
    """Fill the state directory of ``home``, whose daemon has not been started yet."""
    source, target = stock(), Path(home.paths.state)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for directory, _, names in os.walk(source):
        here = target / os.path.relpath(directory, source)
        here.mkdir(exist_ok=True)
        here.chmod(os.stat(directory).st_mode & 0o777)  # root's are passable for the user of root's machines
        for name in names:
            if name.endswith(READ_ONLY):
                _link(os.path.join(directory, name), str(here / name))
            else:
                shutil.copy2(os.path.join(directory, name), here / name)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, target], check=True)
