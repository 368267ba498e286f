"""The agent beside systemd: it answers before systemd's first unit and after its last."""

import asyncio
import time
from pathlib import Path

import pytest

from banger import errors
from banger.guest.channel import Channel
from banger.guest.command import ExecSpec
from tests.integration.guest.machine import Machine, ext4, initrd, systemd_root
from tests.integration.guest.rig import build_agent, on_channel, ran

pytestmark = [pytest.mark.qemu, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]

LINE = "banger.root=the-root banger.modules=the-modules banger.init=/sbin/init banger.hostname=unit"
MASKED = "systemd.mask=serial-getty@ttyS0.service"  # without udev its device would be waited for


async def told(channel: Channel, script: str) -> str:
    result = await ran(channel, "sh", "-c", script)
    return (result.stdout + result.stderr).decode()


async def started(channel: Channel) -> list[str]:
    """The states that systemd goes through, as seen through the agent all along."""
    states: list[str] = []
    while not states or states[-1] not in ("running", "degraded"):
        states.append((await told(channel, "systemctl is-system-running")).strip())
        await asyncio.sleep(0.5)
    return states


async def answered_until(channel: Channel) -> float:
    """When the agent answered last."""
    last = 0.0
    try:
        while True:
            await channel.health()
            last = time.monotonic()
            await asyncio.sleep(0.02)
    except errors.AgentLost:
        return last


def test_the_agent_outlives_systemd_on_both_ends(tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    modules = ext4(tmp_path / "modules", tmp_path / "modules.ext4", "4M")
    root = systemd_root(tmp_path / "root.ext4")
    boot = initrd(build_agent(tmp_path))
    machine = Machine(tmp_path, root, modules, boot, f"{LINE} {MASKED}", memory=512)

    async def use(channel: Channel) -> None:
        assert (await channel.health()).pid1 == "/sbin/init"
        states = await started(channel)
        assert states[0] not in ("running", "degraded"), "the agent was there first"
        script = "for pid in $(cat /sys/fs/cgroup/init.scope/cgroup.procs); do cat /proc/$pid/cmdline; echo; done"
        assert "@banger-agent" in await told(channel, script)
        await channel.session_start(ExecSpec(argv=("sh", "-c", "trap '' TERM; while :; do sleep 1; done")))
        begun = time.monotonic()
        await channel.poweroff()
        last = await answered_until(channel)
        gone = time.monotonic()
        assert last > begun
        assert gone - last < (gone - begun) / 2, "the agent was killed long before the machine went off"

    try:
        on_channel(machine.socket, use, timeout=300)
        assert machine.wait(120) == 0
    finally:
        machine.kill()
