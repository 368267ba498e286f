"""Machines' host keys: by which an ssh client knows a machine, made here before the machine's first start.

A client that goes by `banger.ssh.client` is told the public half, so no connection rests on trust at first use. The
private half is in memory, in a file that lives as long as ssh-keygen, and in the guest; nowhere else on the host but in
the initrd that brings it there.
"""

import os
import tempfile
from typing import NamedTuple

from banger import errors, proc

STAGING = "host-key-"
"""How the directories begin in which keys are made: what an earlier daemon has left of them is to be removed."""

PRIVATE, PUBLIC = "/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key.pub"
"""Where every sshd looks for it, also one whose configuration names no key."""


class HostKey(NamedTuple):
    """Both halves, as their files have them; ``public`` is type and key without a comment and a line's end."""

    private: bytes
    public: str

    def __repr__(self) -> str:
        return f"HostKey({self.public})"


async def make(scratch: str) -> HostKey | None:
    """A new key; None where this host has no OpenSSH. ``scratch`` is a private directory, empty again afterwards."""
    with tempfile.TemporaryDirectory(prefix=STAGING, dir=scratch) as directory:
        path = os.path.join(directory, "key")
        try:
            await proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], timeout=60)
        except errors.ToolMissing:
            return None
        with open(path, "rb") as private, open(f"{path}.pub", encoding="ascii") as public:
            return HostKey(private.read(), " ".join(public.read().split()[:2]))
