"""The library that keeps a guest's user-mode network off the host's loopback and link-local addresses.

``netguard/netguard.c`` says how it works. It is preloaded through a descriptor, so that a QEMU without rights to
our installation loads it all the same. The dynamic loader only warns about a library that it cannot load, hence
`loaded`: a guest does not start before QEMU has been seen to hold it.
"""

import ipaddress
import os
import platform

from banger import errors

LIBRARY = "netguard.so"


def path(machine: str) -> str:
    """Where the library for this processor is, by the name that it will have in a process's maps: without links.

    Raises `errors.VmmFailed`, naming the ``machine``, when it was not built.
    """
    found = os.path.realpath(os.path.join(os.path.dirname(__file__), platform.machine(), LIBRARY))
    if not os.path.exists(found):
        raise errors.VmmFailed(
            reason="its network guard is not built (python netguard/build.py), and without it a guest could reach "
            "the host's own services",
            name=machine,
        )
    return found


def environment(descriptor: int, resolv_conf: str = "/etc/resolv.conf") -> dict[str, str]:
    """What QEMU's environment needs to load the library from an open descriptor."""
    resolver = _local_resolver(resolv_conf)
    extra = {"BANGER_NETGUARD_RESOLVER": resolver} if resolver else {}
    return {"LD_PRELOAD": f"/proc/self/fd/{descriptor}", **extra}


def _local_resolver(resolv_conf: str) -> str | None:
    """The host's first name server when it is one that the guard would refuse: its port 53 stays reachable."""
    try:
        with open(resolv_conf, encoding="utf-8", errors="replace") as file:
            words = [line.split() for line in file]
    except OSError:
        return None
    for line in words:
        if len(line) >= 2 and line[0] == "nameserver":
            try:
                address = ipaddress.IPv4Address(line[1])
            except ValueError:
                continue
            return str(address) if address.is_loopback or address.is_link_local else None
    return None


def loaded(pid: int, library: str) -> bool:
    """Whether a process has the library mapped."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as maps:
            return any(line.rstrip("\n").endswith(library) for line in maps)
    except OSError:
        return False
