"""What only the QEMU driver has: drives, its own processor clock, an unprivileged user, a probe that tells."""

import asyncio
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger import errors, proc
from banger.disk import overlay
from banger.vmm.driver import Drive, Exit, Handle, LaunchSpec
from banger.vmm.qemu import probe
from banger.vmm.qemu.driver import QemuDriver
from tests import tiny_guest

pytestmark = pytest.mark.qemu
PATIENCE = 120


@pytest.fixture
def runtime() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="b") as directory:
        yield directory


def boot(tmp_path: Path, runtime: str, *cmdline: str, **more: Any) -> tuple[Handle, Exit, str]:
    """Boot to the guest's own end; the handle, how it ended, the console."""
    guest = tiny_guest.guest()
    driver = QemuDriver(str(tmp_path / "cache"))

    async def whole() -> tuple[Handle, Exit]:
        values: dict[str, Any] = {
            "vm_id": "m", "directory": str(tmp_path), "runtime": runtime, "kernel": guest.kernel,
            "initrd": guest.initrd, "cmdline": cmdline, "vcpus": 2, "memory": 256 << 20, "drives": (), **more,
        }  # fmt: skip
        handle = await driver.launch(LaunchSpec(**values))
        try:
            ended = await driver.wait(handle, PATIENCE)
        finally:
            await driver.kill(handle)
        assert ended is not None, Path(handle.console).read_text(errors="replace")
        return handle, ended

    handle, ended = asyncio.run(whole())
    return handle, ended, Path(handle.console).read_text(errors="replace")


def test_drives_are_found_by_serial_and_an_overlay_keeps_writes_from_its_base(tmp_path: Path, runtime: str) -> None:
    directory = tmp_path / "a,b"
    directory.mkdir()
    base = directory / "base,format=qcow2.img"
    base.write_bytes(b"the base".ljust(1 << 20, b"\0"))
    modules = directory / "modules.img"
    modules.write_bytes(b"modules!".ljust(1 << 20, b"\0"))
    disk = str(directory / "disk,1.qcow2")
    asyncio.run(overlay.create(disk, str(base), 4 << 20))
    drives = (
        Drive(serial="root", path=disk, format="qcow2", backing=str(base)),
        Drive(serial="modules", path=str(modules), format="raw", read_only=True),
    )
    before = base.read_bytes(), modules.read_bytes()
    _, ended, said = boot(tmp_path, runtime, "test.do=disk", drives=drives)
    assert ended.reason == "powered off"
    assert "disk root 8192 the base" in said
    assert "disk modules 2048 modules!" in said
    assert "wrote root" in said
    assert "wrote modules" not in said
    assert (base.read_bytes(), modules.read_bytes()) == before


def test_an_image_that_calls_itself_qcow2_is_still_raw(tmp_path: Path, runtime: str) -> None:
    """A guest that writes a qcow2 header with a backing file into its raw disk gets no file of the host's."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret!!" * 1000)
    disk = str(tmp_path / "disk.img")
    asyncio.run(overlay.create(disk, str(secret), None if os.path.getsize(secret) % 512 == 0 else 8192))
    _, _, said = boot(tmp_path, runtime, "test.do=disk", drives=(Drive(serial="root", path=disk, format="raw"),))
    assert "QFI" in said
    assert "secret!!" not in said


def test_the_guests_clock_runs_right(tmp_path: Path, runtime: str) -> None:
    """The guest's time between two lines on the console is ours; the rate is measured, and nothing else sets it."""
    guest = tiny_guest.guest()
    driver = QemuDriver(str(tmp_path / "cache"))

    async def watch() -> tuple[float, float]:
        spec = LaunchSpec(
            vm_id="m", directory=str(tmp_path), runtime=runtime, kernel=guest.kernel, initrd=guest.initrd,
            cmdline=("test.do=clock",), vcpus=1, memory=256 << 20, drives=(),
        )  # fmt: skip
        handle = await driver.launch(spec)
        try:
            seen: dict[str, tuple[float, float]] = {}
            deadline = time.monotonic() + PATIENCE
            while "tock" not in seen:
                assert time.monotonic() < deadline
                text = Path(handle.console).read_text(errors="replace")
                for word, uptime in re.findall(r"(tick|tock) ([0-9.]+) [0-9.]+", text):
                    seen.setdefault(word, (float(uptime), time.monotonic()))
                await asyncio.sleep(0.005)
            return seen["tock"][0] - seen["tick"][0], seen["tock"][1] - seen["tick"][1]
        finally:
            await driver.kill(handle)

    theirs, ours = asyncio.run(watch())
    assert theirs == pytest.approx(ours, rel=0.1)  # within 0.2 % on a quiet machine; a guessed rate is off by 20 %


def test_q35_boots_the_same_guest(tmp_path: Path, runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "MACHINES", ("no-such-machine", "q35"))
    handle, ended, said = boot(tmp_path, runtime, "test.do=poweroff")
    assert handle.machine.startswith("q35")
    assert ended.reason == "powered off"
    assert "guest: poweroff" in said


def test_the_probe_is_quick_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = asyncio.run(probe.probe(str(tmp_path)))
    assert first.machine

    async def never(machine: str, accelerator: str) -> str | None:
        raise AssertionError("measured again")

    monkeypatch.setattr(probe, "_try", never)
    assert asyncio.run(probe.probe(str(tmp_path))) == first


def test_a_probe_that_hangs_is_killed_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "bin" / probe.BINARY
    binary.parent.mkdir()
    binary.write_text('#!/bin/sh\n[ "$1" = --version ] && { echo QEMU emulator version 9.9; exit; }\nexec sleep 600\n')
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", f"{binary.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(probe, "TRY_SECONDS", 0.2)
    found = asyncio.run(probe.probe(str(tmp_path / "cache")))
    assert found.machine == ""
    assert "the guest hangs" in found.reason
    assert not (tmp_path / "cache" / "qemu.json").exists()


def test_a_guard_that_is_not_loaded_stops_the_launch(
    tmp_path: Path, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from banger.vmm.driver import UserNetwork
    from banger.vmm.qemu import guard

    monkeypatch.setattr(guard, "environment", lambda descriptor: {})
    with pytest.raises(errors.VmmFailed, match="network guard"):
        boot(tmp_path, runtime, "test.do=poweroff", network=UserNetwork())
    assert os.listdir(runtime) == []


def test_a_full_overlay_limit_is_refused(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.write_bytes(bytes(1 << 20))
    with pytest.raises(errors.ImageTooSmall):
        asyncio.run(overlay.create(str(tmp_path / "disk"), str(base), 512 << 10))
    assert not (tmp_path / "disk").exists()


def test_a_full_host_disk_stops_the_guest_until_there_is_space(tmp_path: Path) -> None:
    guest = tiny_guest.guest()
    settings = {"directory": str(tmp_path), "kernel": guest.kernel, "initrd": guest.initrd}
    scene = Path(__file__).parent / "full_disk_scene.py"
    ended = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "--", sys.executable, str(scene), json.dumps(settings)],
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.returncode == 0, ended.stderr


def test_no_file_of_the_monitors_grows_without_a_bound(tmp_path: Path, runtime: str) -> None:
    guest = tiny_guest.guest()
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    driver = QemuDriver(str(tmp_path / "cache"))

    async def limits() -> str:
        spec = LaunchSpec(
            vm_id="m", directory=str(tmp_path), runtime=runtime, kernel=guest.kernel, initrd=guest.initrd, cmdline=(),
            vcpus=1, memory=256 << 20, drives=(Drive(serial="root", path=str(disk), format="raw"),),
        )  # fmt: skip
        handle = await driver.launch(spec)
        try:
            return Path(f"/proc/{handle.pid}/limits").read_text()
        finally:
            await driver.kill(handle)

    found = asyncio.run(limits())
    assert re.search(rf"^Max file size +{(1 << 20) + (256 << 20)} ", found, re.M)
    assert re.search(r"^Max core file size +0 ", found, re.M)


def test_a_write_beyond_the_bound_fails_and_kills_nobody(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "head -c 100000 /dev/zero >big; echo still here"
    identity = proc.spawn(["sh", "-c", script], log=str(log), limits={resource.RLIMIT_FSIZE: 5000}, cwd=str(tmp_path))
    assert asyncio.run(proc.wait_gone(identity, PATIENCE))
    assert log.read_text().endswith("still here\n")
    assert (tmp_path / "big").stat().st_size == 5000


@pytest.mark.root
def test_as_root_the_monitor_is_somebody_else(tmp_path: Path, runtime: str) -> None:
    guest = tiny_guest.guest()
    driver = QemuDriver(str(tmp_path / "cache"))
    readable = tempfile.mkdtemp(prefix="b")
    os.chmod(readable, 0o711)  # noqa: S103
    try:
        for name, source in (("vmlinux", guest.kernel), ("initrd", guest.initrd)):
            Path(readable, name).write_bytes(Path(source).read_bytes())

        async def who() -> str:
            spec = LaunchSpec(
                vm_id="m", directory=str(tmp_path), runtime=runtime, kernel=f"{readable}/vmlinux",
                initrd=f"{readable}/initrd", cmdline=(), vcpus=1, memory=256 << 20, drives=(), uid=54321,
            )  # fmt: skip
            handle = await driver.launch(spec)
            try:
                return Path(f"/proc/{handle.pid}/status").read_text()
            finally:
                await driver.kill(handle)

        status = asyncio.run(who())
    finally:
        for name in ("vmlinux", "initrd"):
            Path(readable, name).unlink(missing_ok=True)
        os.rmdir(readable)
    assert re.search(r"^Uid:\t54321\t54321\t54321\t54321$", status, re.M)
    assert re.search(r"^Gid:\t54321\t54321\t54321\t54321$", status, re.M)
    assert re.search(r"^Groups:\t *$", status, re.M)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.M)
    assert re.search(r"^Seccomp:\t2$", status, re.M)
