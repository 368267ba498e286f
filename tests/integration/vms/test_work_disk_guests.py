"""Work disks in real guests, on both kinds of init: what a guest has on /root, and what becomes of it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors, proc
from banger.api.vm import SetVm, StopVm
from banger.disk import work_disk
from tests import guest_images
from tests.installation import MIB, Daemon, Installation, scenario
from tests.integration.vms.real import booting

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(400)]

SIZE = "stat -f -c '%S %b' /root"


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with booting(tmp_path) as made:
        yield made


@pytest.fixture
def systemd() -> bytes:
    return guest_images.systemd_tar().read_bytes()


def disk(installation: Installation, daemon: Daemon) -> Path:
    return Path(installation.paths.vm(daemon.vms.show("one").id), work_disk.NAME)


def unmounted(path: Path) -> bool:
    return subprocess.run([proc.find("e2fsck"), "-fn", path], capture_output=True, check=False).returncode == 0


async def told(daemon: Daemon, script: str) -> str:
    code, output = await daemon.run("one", "sh", "-c", script, user="root", cwd="/")
    assert code == 0, output
    return output


async def size(daemon: Daemon) -> int:
    """Of the file system on /root, in MiB."""
    block, blocks = map(int, (await told(daemon, SIZE)).split())
    return block * blocks // MIB


async def lives(installation: Installation, daemon: Daemon) -> None:
    """From a home that is the image's own, through a stop and a start, to a larger one."""
    assert (await told(daemon, "grep ' /root ' /proc/mounts")).split()[2] == "ext4"
    assert await told(daemon, "cat /root/brought; stat -c '%a %u' /root") == "by the image\n750 0\n"
    assert 100 < await size(daemon) <= 128
    await told(daemon, "echo kept >/root/mine; echo system >/system; rm /root/brought")
    stopped = await daemon.done(await daemon.vms.stop("one", StopVm(timeout=120)))
    assert stopped.notices == []
    assert unmounted(disk(installation, daemon))
    await daemon.done(await daemon.vms.set("one", SetVm(work_disk_size=300 * MIB)))
    await daemon.done(await daemon.vms.start("one"))
    assert await told(daemon, "cat /root/mine /system; ls /root/brought 2>&1 | wc -l") == "kept\nsystem\n1\n"
    assert 250 < await size(daemon) <= 300


@scenario
async def test_where_the_agent_is_process_1_and_a_guest_that_destroys_it(
    installation: Installation, tmp_path: Path
) -> None:
    home = guest_images.Tar().directory("root", 0o750).file("root/brought", b"by the image\n").bytes()
    layers = [guest_images.busybox_tar(), home]
    layout = guest_images.write_layout(tmp_path / "layout", layers, config={"Env": ["PATH=/bin:/sbin"]})
    async with installation.daemon() as daemon:
        await daemon.create(image=layout, work_disk_size=128 * MIB)
        await lives(installation, daemon)
        await told(daemon, "dd if=/dev/zero of=/dev/vdb bs=1M count=8 conv=fsync 2>/dev/null")
        await daemon.done(await daemon.vms.kill("one"))
        with pytest.raises(errors.UnusableDisk, match="the work disk is damaged"):
            await daemon.done(await daemon.vms.start("one"))
        await daemon.done(await daemon.vms.delete("one"))
        assert installation.machine_files() == []


@scenario
async def test_where_systemd_is_process_1(installation: Installation, tmp_path: Path, systemd: bytes) -> None:
    home = guest_images.Tar().directory("root", 0o750).file("root/brought", b"by the image\n").bytes()
    layers = [systemd, home]
    layout = guest_images.write_layout(tmp_path / "layout", layers)
    async with installation.daemon() as daemon:
        await daemon.create(image=layout, memory=512 * MIB, work_disk_size=128 * MIB)
        assert (await daemon.vms.health("one")).init == "/sbin/init"
        await told(daemon, "until systemctl is-active -q multi-user.target 2>/dev/null; do sleep 0.2; done")
        assert await told(daemon, "systemctl is-active root.mount") == "active\n"
        assert await told(daemon, "systemctl list-units --failed --quiet --plain --no-legend") == ""
        await lives(installation, daemon)
        await daemon.done(await daemon.vms.delete("one"))
