"""Whether this host routes packets (net.ipv4.ip_forward): switched on for the first guest with NAT, and put back.

The switch is the whole host's, and turning it changes other settings: each interface's own, and whether redirects are
accepted (ip-sysctl). All of them are kept first, so that `restore` gives back what was found. A host whose guests have
no NAT is never made a router.
"""

import contextlib
import os

from . import kept
from .host import Host
from .operation import Failed

TREE = "/proc/sys/net/ipv4"
RECORD = "forwarding"


def enable(host: Host) -> None:
    """Route packets. Raises `Failed`."""
    if _read("ip_forward") == "1":
        return
    before = {"conf/all/accept_redirects": _read("conf/all/accept_redirects")}
    for name in os.listdir(f"{TREE}/conf"):
        with contextlib.suppress(FileNotFoundError):  # an interface that has just gone
            before[f"conf/{name}/forwarding"] = _read(f"conf/{name}/forwarding")
    kept.write(host, RECORD, {"before": before})
    _write("ip_forward", "1")


def restore(host: Host) -> None:
    """As it was before `enable`, or as it is when that has changed nothing."""
    before = kept.read(host, RECORD).get("before")
    if before:
        _write("ip_forward", "0")
        for name, value in before.items():
            if name != "conf/all/forwarding":  # the same switch by another name
                with contextlib.suppress(FileNotFoundError):
                    _write(name, value)
    kept.forget(host, RECORD)


def _read(name: str) -> str:
    with open(f"{TREE}/{name}", encoding="ascii") as file:
        return file.read().strip()


def _write(name: str, value: str) -> None:
    try:
        with open(f"{TREE}/{name}", "w", encoding="ascii") as file:
            file.write(value)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Failed(f"net.ipv4.{name.replace('/', '.')} cannot be set: {error.strerror}") from None
