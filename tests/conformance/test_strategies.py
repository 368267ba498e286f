"""Every strategy for machines' roots that can run here keeps what all promise. Snapshots: tests/smoke/test_roots."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.disk import work_disk
from banger.disk.roots import strategy
from banger.disk.roots.all import NAMES, for_devices, for_files
from banger.disk.roots.files import Clone, Copy, Qcow2
from banger.disk.roots.strategy import Strategy, Verdict
from tests.conformance import strategy_promises


@pytest.mark.parametrize("made", [Qcow2(), Copy()], ids=lambda made: made.name)
def test_promises(made: Strategy, tmp_path: Path) -> None:
    strategy_promises.play(made, tmp_path)


@pytest.fixture(params=["mkfs.btrfs -q -f", "mkfs.xfs -q -f -m reflink=1"], ids=["btrfs", "xfs"])
def sharing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system that can share blocks between files."""
    disk, place = tmp_path / "disk", tmp_path / "place"
    place.mkdir()
    disk.write_bytes(b"")
    os.truncate(disk, 400 << 20)
    subprocess.run([*str(request.param).split(), str(disk)], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", disk, place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.root
def test_promises_of_a_clone(sharing: Path) -> None:
    strategy_promises.play(Clone(), sharing)


@pytest.mark.root
def test_a_clone_takes_no_space_of_its_own(sharing: Path) -> None:
    base = sharing / "base"
    base.write_bytes(os.urandom(100 << 20))
    os.sync()
    free = os.statvfs(sharing).f_bavail * os.statvfs(sharing).f_frsize
    for number in range(4):
        (sharing / f"{number}").mkdir()
        asyncio.run(Clone().make(strategy.Place("", str(sharing / f"{number}"), str(base), 200 << 20)))
    os.sync()
    assert free - os.statvfs(sharing).f_bavail * os.statvfs(sharing).f_frsize < 50 << 20


@pytest.mark.root
def test_work_disks_share_the_blocks_of_their_seed(sharing: Path) -> None:
    seed = sharing / "seed"
    seed.write_bytes(os.urandom(60 << 20))
    os.sync()
    free = shutil.disk_usage(sharing).free
    for number in range(4):
        path = str(sharing / f"{number}.ext4")
        asyncio.run(work_disk.make(path, work_disk.clone(str(seed)), 200 << 20, durable=True))
        assert os.path.getsize(path) == 200 << 20
    os.sync()
    assert free - shutil.disk_usage(sharing).free < 30 << 20
    with open(path, "rb") as made:
        assert made.read(60 << 20) == seed.read_bytes()


FULL = """
import asyncio, ctypes, os, sys
from pathlib import Path
from banger import errors
from banger.disk.roots.files import Copy, Qcow2
from banger.disk.roots.strategy import Place

made, top = {"qcow2": Qcow2, "copy": Copy}[sys.argv[1]](), Path(sys.argv[2])
small = top / "small"
small.mkdir()
assert ctypes.CDLL(None).mount(b"tmpfs", os.fsencode(small), b"tmpfs", 0, b"size=8k") == 0
(top / "base").write_bytes(b"x" * (1 << 20))
try:
    asyncio.run(made.make(Place("", str(small), str(top / "base"), 2 << 20)))
except errors.DiskFull:
    assert os.listdir(small) == []
    print("full")
"""


@pytest.mark.parametrize("name", ["qcow2", "copy"])
def test_a_full_disk_is_said_and_leaves_no_file(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "--", sys.executable, "-c", FULL, name, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.stdout, done.returncode) == ("full\n", 0), done.stderr


def test_the_first_that_can_be_used_is_chosen_and_a_forced_one_says_why_it_cannot(tmp_path: Path) -> None:
    verdicts = asyncio.run(strategy.judge(for_devices(None), str(tmp_path), str(tmp_path)))
    assert [each.name for each, _ in verdicts] == ["snapshot", "reflink", "copy"]
    assert verdicts[0].reason is not None and "root" in verdicts[0].reason
    assert verdicts[-1].reason is None
    assert strategy.choose(verdicts, "copy").name == "copy"
    assert strategy.choose(verdicts).name in ("reflink", "copy")
    with pytest.raises(errors.RootStrategyUnavailable, match="root helper"):
        strategy.choose(verdicts, "snapshot")
    with pytest.raises(errors.RootStrategyUnavailable, match="takes one of: snapshot, reflink, copy"):
        strategy.choose(verdicts, "qcow2")
    files = [Verdict(each, None) for each in for_files()]
    assert strategy.choose(files).name == "qcow2"
    assert {each.name for each, _ in (*verdicts, *files)} == set(NAMES)


def test_strategies_on_two_file_systems(tmp_path: Path) -> None:
    reason = asyncio.run(Clone().unavailable("/dev/shm", str(tmp_path)))
    assert reason is not None and ("file system" in reason)
