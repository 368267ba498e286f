"""What is shown of a box in which a scenario failed: logs of services, machines and kernel, console, emulator."""

import contextlib
import shutil
import tarfile
from pathlib import Path

from tests.smoke.host import machine
from tests.smoke.host.box import CommandFailed, Host, Silent

LOGS = """\
journalctl --no-pager --output=short-monotonic --lines=200 --unit='banger*' 2>&1
echo; echo '== the kernel'; dmesg | tail -n 40
for log in /var/lib/banger/*.log /var/lib/banger/vms/*/*.log /var/log/banger/*.log \\
    /home/*/.local/state/banger/*.log /home/*/.local/state/banger/vms/*/*.log \\
    /srv/jail*/*/*/root/*.log /var/lib/banger/jail*/*/*/root/*.log /var/lib/banger/jail*/*/*/root/logs/*; do
    [ -f "$log" ] && echo "== $log" && tail -c 4000 "$log"
done
true
"""

OUTSIDE = ("console.log", "qemu.log")
"""Logs on this side."""


def evidence(host: Host) -> list[tuple[str, str]]:
    """Sections for a report."""
    found: list[tuple[str, str]] = []
    if host.directory is not None:
        found += [(f"the box's {name}", machine.tail(host.directory / name)) for name in OUTSIDE]
    if host.alive and not host.lost:
        try:
            found.append(("logs in the box", host.run(LOGS, timeout=60, check=False).stdout))
        except Silent as silent:
            found.append(("logs in the box", f"not to be had: {silent}"))
    return found


def keep(host: Host, target: Path) -> None:
    """Copy the logs in full to a directory of this side."""
    target.mkdir(parents=True, exist_ok=True)
    if host.directory is not None:
        for name in OUTSIDE:
            shutil.copy(host.directory / name, target / name)
    with contextlib.suppress(Silent, CommandFailed, tarfile.TarError):
        host.run("mkdir -p /tmp/kept; journalctl --no-pager > /tmp/kept/journal; dmesg > /tmp/kept/dmesg", timeout=60)
        host.get("/tmp/kept", target)
