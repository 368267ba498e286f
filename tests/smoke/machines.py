"""What scenarios ask of machines in the box."""

import json
from typing import Any

from tests.smoke.host.box import Host

PAGE = "mkdir -p /srv/www && echo from-one >/srv/www/index.html && httpd -p 127.0.0.1:80 -h /srv/www"
"""Has a server in a machine, where the machine alone reaches it."""


def show(host: Host, name: str) -> dict[str, Any]:
    """The document of ``banger vm show``."""
    found: dict[str, Any] = json.loads(host.banger("vm", "show", name, "--json").stdout)
    return found


def boot_id(host: Host, name: str) -> str:
    """Of the guest's kernel, from inside: another one after every boot."""
    return host.banger("exec", name, "--", "cat", "/proc/sys/kernel/random/boot_id").stdout.strip()


def main_pid(host: Host, unit: str) -> int:
    """The main process of a unit."""
    return int(host.run(["systemctl", "show", "--property=MainPID", "--value", unit]).stdout)


def fetched(host: Host, place: str, before: str = "") -> str:
    """The page as the host gets it, as anybody of it; nothing where nobody answers."""
    return host.run(f"{before} curl --silent --max-time 30 http://{place}/", check=False).stdout
