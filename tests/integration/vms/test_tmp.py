"""/tmp in a real guest whose systemd mounts and empties it in the middle of its boot, when commands run already."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.api.vm import StopVm
from tests import guest_images
from tests.installation import MIB, Daemon, Installation, scenario
from tests.integration.vms.real import booting

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(400)]

RULES = b"# as Debian's\nD /tmp 1777 root root -\n\nD! /tmp/x 0700 root root -\nd /var/lib/mine 0700 root root -\n"
WRITE = (
    "mkdir -p /tmp/a/b; echo kept | tee /tmp/a/b/early >/tmp/early; chown -R 1000 /tmp/a; systemctl is-system-running"
)
BOOTED = "until systemctl is-active -q multi-user.target 2>/dev/null; do sleep 0.2; done"
LOOK = "cat /tmp/early /tmp/a/b/early; stat -c '%a %u' /tmp /tmp/a; grep ' /tmp ' /proc/mounts | cut -d ' ' -f 3,4"
HEALTH = "systemctl is-active tmp.mount; systemctl list-units --failed --quiet --plain --no-legend; ls -d /var/lib/mine"
OTHER = "sed -i 's|^tmpfs /tmp .*|tmpfs\t/tmp\t\ttmpfs defaults,noexec,mode=1777,x-mine,size=64m 0 0|' /etc/fstab"


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with booting(tmp_path) as made:
        yield made


@pytest.fixture
def layout(tmp_path: Path) -> str:
    own = guest_images.Tar().file("usr/lib/tmpfiles.d/tmp.conf", RULES).bytes()
    return guest_images.write_layout(tmp_path / "layout", [guest_images.systemd_tar().read_bytes(), own])


async def told(daemon: Daemon, script: str) -> list[str]:
    return (await daemon.run("one", "sh", "-c", script, cwd="/"))[1].splitlines()


@scenario
async def test_what_the_first_command_puts_there_stays_until_the_next_boot(
    installation: Installation, layout: str
) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(image=layout, memory=512 * MIB)
        for mounted in ("tmpfs rw,nosuid,nodev,", "tmpfs rw,noexec,relatime,size=65536k"):
            assert await told(daemon, "ls -A /tmp") == [], "of an earlier boot nothing is there from the first moment"
            (state,) = await told(daemon, WRITE)
            assert state not in ("running", "degraded"), "the command came first"
            await told(daemon, BOOTED)
            *found, mounts = await told(daemon, LOOK)
            assert found == ["kept", "kept", "1777 0", "755 1000"]
            assert mounts.startswith(mounted), "once, and as fstab(5) has it"
            assert await told(daemon, HEALTH) == ["active", "/var/lib/mine"], "all else is done"
            await told(daemon, OTHER)
            await daemon.done(await daemon.vms.stop("one", StopVm(timeout=120)))
            await daemon.done(await daemon.vms.start("one"))
        await daemon.done(await daemon.vms.delete("one"))
