"""systemd's part: units loaded, started and ended, and the two daemons asked whether they answer."""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from banger import errors, proc
from banger.privileged.installation import Host, ping
from banger.sdk.client import Client
from banger.system.units import (
    BUILD_SOCKET,
    DAEMON_SERVICE,
    ENABLED,
    HELPER_SERVICE,
    HELPER_SOCKET,
    MACHINES,
    SHUTDOWN,
    SLICE,
)

ALL = (SHUTDOWN, DAEMON_SERVICE, BUILD_SOCKET, HELPER_SERVICE, HELPER_SOCKET, MACHINES, SLICE)
"""In the order in which they are ended."""
DAEMON_SOCKET = "/run/banger/bangerd.sock"
PATIENCE = 90.0
"""Seconds that a service may take until it answers; its first start may have work to recover."""
SYSTEMCTL_SECONDS = 180.0


class Unit(NamedTuple):
    """What systemd says of a unit."""

    name: str
    active: str
    enabled: str
    pid: int


def control(*arguments: str, check: bool = True) -> str:
    """Run ``systemctl``; what it said. Raises `errors.ToolFailed`, `errors.ToolMissing`, `errors.TimedOut`."""
    result = asyncio.run(proc.run(["systemctl", *arguments], timeout=SYSTEMCTL_SECONDS, check=check))
    return result.stdout.decode("utf-8", "replace")


def properties(unit: str, names: Sequence[str]) -> dict[str, str]:
    """Properties of a unit, as systemd has loaded it. Those that it does not know are left out."""
    said = control("show", unit, f"--property={','.join(names)}", check=False)
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def look(unit: str) -> Unit:
    """The state of a unit."""
    found = properties(unit, ("ActiveState", "UnitFileState", "MainPID"))
    pid = int(found.get("MainPID") or 0)
    return Unit(unit, found.get("ActiveState", "unknown"), found.get("UnitFileState", ""), pid)


def load_modules(names: Sequence[str]) -> None:
    """Load the kernel's modules now, as the next boot does; a kernel without one of them is no fault."""
    with contextlib.suppress(errors.BangerError):
        asyncio.run(proc.run(["modprobe", "--all", "--quiet", *names], timeout=60, check=False))


def reload_udev() -> None:
    """Let udev read its rules again; a host without udev has nobody who would read guests' disks."""
    with contextlib.suppress(errors.BangerError):
        asyncio.run(proc.run(["udevadm", "control", "--reload"], timeout=60, check=False))


def start(host: Host) -> None:
    """Load the units, start what the host starts, restart what runs older code, and wait for both to answer."""
    control("daemon-reload")
    reload_udev()
    control("enable", *ENABLED)
    control("start", MACHINES, HELPER_SOCKET, BUILD_SOCKET)
    restart(host)
    control("start", SHUTDOWN)


def restart(host: Host) -> None:
    """Restart the helper and then the daemon, and wait for each. Machines go on."""
    control("reset-failed", *ALL, check=False)
    control("restart", HELPER_SERVICE)
    await_helper(host)
    with contextlib.suppress(errors.TimedOut):
        control("restart", DAEMON_SERVICE, check=False)  # why it does not start is in its journal, which is shown
    await_daemon(DAEMON_SOCKET)


def end(units: Sequence[str] = ALL) -> None:
    """Stop units and take them from the host's start. What is not there is passed over."""
    control("disable", *ENABLED, check=False)
    for unit in units:
        control("stop", unit, check=False)


def forget(host: Host) -> None:
    """Let systemd forget units whose files are gone, and remove the directories that it kept between their starts."""
    for path in (os.path.dirname(DAEMON_SOCKET), host.runtime):
        shutil.rmtree(path, ignore_errors=True)
    control("daemon-reload", check=False)
    reload_udev()
    control("reset-failed", *ALL, check=False)


def await_daemon(socket: str) -> None:
    """Wait until the daemon answers. Raises `errors.InstallRefused` with the last of its journal."""
    _await(DAEMON_SERVICE, lambda: daemon_answers(socket))


def await_helper(host: Host) -> None:
    """Wait until the helper answers."""
    _await(HELPER_SERVICE, lambda: helper_answers(host))


def daemon_answers(socket: str) -> str:
    """Nothing when it answers; else why not."""
    try:
        with Client(socket, start=False, timeout=PATIENCE) as client:
            client.daemon_status()
    except errors.BangerError as error:
        return error.message
    return ""


def helper_answers(host: Host) -> str:
    """Nothing when it answers; else why not."""
    try:
        asyncio.run(ping(host))
    except errors.BangerError as error:
        return error.message
    return ""


def _await(unit: str, ask: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while reason := ask():
        state = look(unit)
        if time.monotonic() > deadline or state.active == "failed":
            raise silent(unit, reason)
        time.sleep(0.2)


def silent(unit: str, reason: str) -> errors.InstallRefused:
    """The error for a service that does not answer, with the last that it said."""
    said = ""
    with contextlib.suppress(errors.BangerError):
        result = asyncio.run(
            proc.run(["journalctl", "-u", unit, "-n", "3", "-o", "cat", "--no-pager"], timeout=20, check=False)
        )
        said = " / ".join(result.stdout.decode("utf-8", "replace").split("\n")).strip(" /")
    error = errors.InstallRefused(reason=f"{unit} does not answer: {reason}" + (f" ({said})" if said else ""))
    error.advise(f"'journalctl -u {unit}' has the rest")
    return error
