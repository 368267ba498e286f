"""Images boot without banger's initrd: by their own systemd, which starts the agent, and by the agent as process 1.

The stock kernel cannot reach a disk by itself. Its modules are loaded by an initrd of this file, which knows nothing of
banger and does what a kernel with everything built in would do: mount the root, and start the init that it is told.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from banger.disk import work_disk
from banger.guest import assets
from banger.guest.channel import Channel
from banger.kernels import cpio, kernel
from tests.guest_images import Tar, busybox_tar, write_layout
from tests.home import Home
from tests.integration.guest.machine import Machine
from tests.integration.guest.rig import on_channel, ran

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(600)]

INIT = rb"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t devtmpfs dev /dev
for module in $(cat /banger/modules); do insmod $module; done
how=ro
for word in $(cat /proc/cmdline); do
    case $word in rw) how=rw;; init=*) init=${word#*=};; esac
done
until [ -b /dev/vda ]; do usleep 10000; done
mount -t ext4 -o $how /dev/vda /root
umount -l /dev; umount -l /proc
exec switch_root /root $init
"""
NET = "banger.net=10.0.2.15/24,10.0.2.2 banger.dns=10.0.2.3"
MASKED = "systemd.mask=serial-getty@ttyS0.service"  # without udev its device would be waited for


def machine(home: Home, image: str, line: str, tmp_path: Path, memory: int = 256) -> Machine:
    """The image, as banger has made it, below that initrd."""
    shown = home.banger("image", "show", image, "--json", check=True).json()
    assert isinstance(shown, dict)
    directory = next(Path(home.paths.kernels).iterdir())
    record = json.loads((directory / kernel.RECORD).read_text())
    own = [
        *(cpio.directory(name) for name in ("bin", "dev", "proc", "root")),
        cpio.character_device("dev/console", 0o600, 5, 1),
        cpio.regular("bin/busybox", Path("/bin/busybox").read_bytes(), 0o755),
        cpio.regular("init", INIT, 0o755),
    ]
    modules = (directory / kernel.INITRD).read_bytes()[: record["modules_size"]]
    work = tmp_path / "work.ext4"
    asyncio.run(work_disk.make(str(work), work_disk.empty(64 << 20), 128 << 20, durable=False))
    rootfs, initrd, line = Path(shown["rootfs"]), modules + cpio.archive(own), f"{line} banger.work=the-work"
    return Machine(tmp_path, rootfs, None, initrd, line, memory, keep=True, work=work)


async def told(channel: Channel, script: str) -> str:
    result = await ran(channel, "sh", "-c", script)
    return (result.stdout + result.stderr).decode()


async def has_its_work_disk(channel: Channel) -> None:
    """Mounted, grown, and root's own."""
    assert " /root ext4 rw" in await told(channel, "grep /root /proc/mounts")
    block, blocks, mode = (await told(channel, "stat -f -c '%S %b' /root; stat -c %a /root")).split()
    assert int(block) * int(blocks) > 100 << 20 and mode == "700"


async def connected(channel: Channel) -> None:
    """On the one interface, whatever udev calls it."""
    assert "inet 10.0.2.15/24" in await told(channel, "ip address")
    assert "default via 10.0.2.2 dev e" in await told(channel, "ip route")
    assert await told(channel, "cat /etc/resolv.conf") == "nameserver 10.0.2.3\n"


def go_through(started: Machine, use: Callable[[Channel], Awaitable[None]]) -> None:
    """From the agent's first answer to an orderly power-off."""

    async def to_the_end(channel: Channel) -> None:
        await use(channel)
        await channel.poweroff()
        await channel.wait_closed()

    try:
        on_channel(started.socket, to_the_end, timeout=400)
        assert started.wait(120) == 0
    finally:
        print(started.console.read_text())
        started.kill()


def test_systemd_starts_the_agent_and_the_network(stocked: Home, tmp_path: Path) -> None:
    started = machine(
        stocked, "debian-bookworm", f"rw init=/sbin/init {NET} {MASKED} net.ifnames=1", tmp_path, memory=512
    )

    async def use(channel: Channel) -> None:
        assert (await channel.health()).pid1 == "/usr/lib/systemd/systemd"
        units = "banger-agent.service banger-network.service"
        # nobody asked for it, the boot did; this waits for that
        assert (await told(channel, f"systemctl start {units}; systemctl is-active {units}")) == "active\nactive\n"
        assert (await told(channel, f"systemctl is-enabled {units}")) == "enabled\nenabled\n"
        assert await told(channel, f"systemd-analyze verify {units}") == ""
        assert await told(channel, "systemctl list-units --failed --quiet --plain --no-legend") == ""
        await connected(channel)
        await has_its_work_disk(channel)
        await survives(channel)

    go_through(started, use)


async def survives(channel: Channel) -> None:
    """What a command does harms neither the agent nor the commands beside it."""
    agent = (await told(channel, "systemctl show -P MainPID banger-agent")).strip()
    assert (await told(channel, f"tr -d '\\0' </proc/{agent}/cmdline")) == "@banger-agent"
    assert "INVOCATION_ID" not in await told(channel, "env")
    assert await told(channel, f"cat /proc/{agent}/oom_score_adj; cat /proc/self/oom_score_adj") == "-1000\n0\n"


def test_the_agent_is_process_1_of_any_image(stocked: Home, tmp_path: Path) -> None:
    own = Tar().file("sbin/init", b"#!/bin/sh\nwhile :; do sleep 1; done\n", 0o755).bytes()
    layout = write_layout(tmp_path / "layout", [busybox_tar(), own])
    stocked.banger("image", "pull", layout, "--name", "bb", timeout=300, check=True)
    line = f"init={assets.AGENT} banger.hostname=unit {NET}"

    async def stays(channel: Channel) -> None:
        health = await channel.health()
        assert (health.pid1, health.hostname) == ("agent", "unit")
        mounts = await told(channel, "mount")
        for line in ("on / type ext4 (rw", "proc on /proc ", "sysfs on /sys ", "devtmpfs on /dev ", "tmpfs on /run "):
            assert line in mounts
        await connected(channel)
        await has_its_work_disk(channel)
        script = "sh /usr/local/libexec/banger-network-bootstrap && echo again"
        assert (await told(channel, script)) == "again\n", "busybox has an ip(8) of its own"
        await connected(channel)
        left = (
            "for i in 1 2 3; do (sleep 0.1 &) ; done; while ps -o comm | grep -q sleep; do sleep 0.1; done; echo none"
        )
        assert (await told(channel, left)) == "none\n", "orphans are reaped"

    async def hands_over(channel: Channel) -> None:
        assert (await channel.health()).pid1 == "/sbin/init"
        assert "init" in await told(channel, "cat /proc/1/comm")
        await connected(channel)

    go_through(machine(stocked, "bb", line, tmp_path), stays)
    go_through(machine(stocked, "bb", f"{line} banger.init=/sbin/init", tmp_path / "layout"), hands_over)
