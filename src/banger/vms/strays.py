"""Finding a monitor that nobody has on record.

A daemon that dies between the start of a monitor and the commit of its handle leaves a process that no row names. It is
told by its own command line: the word ``-initrd`` followed by the path of the machine's own initrd, which no other
program is started with.
"""

import os

from banger import proc
from banger.paths import Paths
from banger.vms import boot


def find(paths: Paths, vm_id: str) -> list[proc.Identity]:
    """Monitors of that machine that run on this host."""
    wanted = b"\0-initrd\0" + os.fsencode(os.path.join(paths.vm(vm_id), boot.INITRD)) + b"\0"
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                if wanted not in file.read():
                    continue
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        ticks = proc.start_ticks(int(entry))
        if ticks is not None:
            found.append(proc.Identity(int(entry), ticks))
    return found
