"""Debian roots from the archive: what is in the default one, and what a cancelled or failed build leaves."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from banger import errors
from banger.oci import debian
from banger.oci.build import LayerSource, build_image
from tests.ext4_image import sound
from tests.guest_images import systemd_tar


def test_the_default_image_is_neutral_and_boots_systemd(tmp_path: Path) -> None:
    with tarfile.open(systemd_tar()) as tar:
        names = {name.removeprefix("./") for name in tar.getnames()}

        def text(name: str) -> str:
            file = tar.extractfile(f"./{name}")
            assert file is not None
            return file.read().decode()

        assert not {name for name in names if name.startswith("etc/ssh/ssh_host_")}
        assert text("etc/machine-id") == ""
        assert text("etc/hostname") == "debian\n"
        assert text("etc/shadow").splitlines()[0].split(":")[:2][1][0] in "*!"
        assert "ssh-keygen" in text("etc/systemd/system/ssh.service.d/host-keys.conf")
        assert not {name for name in names if name.startswith("var/lib/apt/lists/") and "_" in name}
        assert "etc/resolv.conf" not in names
        assert {"usr/bin/git", "usr/bin/curl", "usr/sbin/sshd", "usr/bin/sudo", "usr/bin/jq"} < names
    source = LayerSource(path=str(systemd_tar()), name="debian")
    report = build_image([source], str(tmp_path / "image"), seed="debian")
    assert (report.init, report.distribution, report.shell) == ("/sbin/init", "debian-12", True)
    sound(tmp_path / "image")


def test_an_unknown_suite_is_named_and_nothing_stays(tmp_path: Path) -> None:
    output = tmp_path / "root.tar"
    with pytest.raises(errors.BuildFailed, match=r"building Debian nosuchsuite failed: .*Release"):
        asyncio.run(debian.build_rootfs_tar("nosuchsuite", [], str(output)))
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_process_left_at_work_is_ended_and_removed(tmp_path: Path) -> None:
    """As a daemon that was killed leaves it: mmdebstrap goes on, with nobody who waits for it."""
    output = tmp_path / "root.tar"
    build = f"debian.build_rootfs_tar('bookworm', [], {str(output)!r})"
    script = f"import asyncio; from banger.oci import debian; asyncio.run({build})"
    paths = os.pathsep.join(filter(None, sys.path))
    caller = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": paths})
    scratch = Path(debian._scratch(str(output)))
    deadline = time.monotonic() + 60
    while not (scratch.is_dir() and any(scratch.glob("*/*"))):  # it unpacks
        assert caller.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    caller.kill()
    caller.wait()
    assert at_work(scratch)
    asyncio.run(debian.discard(str(output)))
    assert not at_work(scratch) and not scratch.exists()
    asyncio.run(debian.discard(str(output)))


def at_work(scratch: Path) -> list[str]:
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"TMPDIR={scratch}".encode() in environ.read_bytes().split(b"\0"):
                found.append(environ.parent.name)
    return found


def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    async def cancelled() -> None:
        unpacking = asyncio.Event()

        def hear(stage: str, done: int, total: int | None) -> None:
            if "unpacking" in stage:
                unpacking.set()

        task = asyncio.create_task(debian.build_rootfs_tar("bookworm", [], str(tmp_path / "root.tar"), progress=hear))
        waiting = asyncio.create_task(unpacking.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert list(tmp_path.iterdir()) == []
