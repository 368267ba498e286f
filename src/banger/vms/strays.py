"""Finding monitors that nobody has on record.

A daemon that dies between the start of a monitor and the commit of its handle leaves a process that no row names. It is
told by its own command line: the word ``-initrd`` followed by the path of the machine's own initrd, which no other
program is started with.
"""

import os
import re

from banger import proc
from banger.paths import Paths
from banger.vms import boot


def find(paths: Paths, vm_id: str) -> list[proc.Identity]:
    """Monitors of that machine that run on this host."""
    return everywhere(paths).get(vm_id, [])


def everywhere(paths: Paths, root: str = "/proc") -> dict[str, list[proc.Identity]]:
    """All monitors of this installation that run on this host, by the machine's id. ``root`` is where processes are."""
    form = re.escape(os.fsencode(paths.vm("ID"))).replace(b"ID", rb"([0-9a-f]{16})")
    own = re.compile(rb"\0-initrd\0" + form + re.escape(os.fsencode(os.path.join("/", boot.INITRD))) + rb"\0")
    found: dict[str, list[proc.Identity]] = {}
    for entry in os.listdir(root):
        if not entry.isdigit():
            continue
        try:
            with open(f"{root}/{entry}/cmdline", "rb") as file:
                named = own.search(file.read())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        ticks = proc.start_ticks(int(entry)) if named else None
        if named and ticks is not None:
            found.setdefault(named[1].decode(), []).append(proc.Identity(int(entry), ticks))
    return found
