"""Machines for benches: one that has what a comparison needs, and ways in that banger itself does not use."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.home import Home


@contextmanager
def machine(home: Home, *options: str) -> Iterator[str]:
    """A running machine's name, deleted at the end."""
    name = f"bench-{os.getpid()}"
    home.banger("vm", "create", "--name", name, *options, timeout=300, check=True)
    try:
        yield name
    finally:
        home.banger("vm", "delete", name, check=True)


def show(home: Home, name: str) -> dict[str, object]:
    """What ``vm show --json`` says."""
    document = home.banger("vm", "show", name, "--json", check=True).json()
    assert isinstance(document, dict)
    return document


class Ssh:
    """OpenSSH into a machine, through a port of the host that QEMU is told to forward; no connection is kept."""

    def __init__(self, home: Home, name: str, scratch: Path) -> None:
        self._key = scratch / "key"
        self._port = _free_port()
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)], check=True, stdin=subprocess.DEVNULL
        )
        prepare = (
            "mkdir -p /root/.ssh /run/sshd && chmod 700 /root/.ssh && cat > /root/.ssh/authorized_keys && "
            "ssh-keygen -A >/dev/null && (pgrep -x sshd >/dev/null || /usr/sbin/sshd)"
        )
        public = self._key.with_suffix(".pub").read_bytes()
        home.banger("exec", "-i", name, "--", "sh", "-c", prepare, stdin=public, check=True)
        control = os.path.join(home.paths.vm_runtime(str(show(home, name)["id"])), "qmp.sock")
        _forward(control, self._port)

    @property
    def options(self) -> list[str]:
        return [
            *("-F", "none", "-i", str(self._key), "-o", "BatchMode=yes", "-o", "ControlMaster=no"),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
        ]

    def command(self, *words: str) -> list[str]:
        """The argv of one ssh."""
        return ["ssh", *self.options, "-p", str(self._port), "root@127.0.0.1", *words]

    def copy(self, source: str, target: str) -> list[str]:
        """The argv of one scp; the machine's side is written ``:PATH``."""
        sides = [f"root@127.0.0.1{each}" if each.startswith(":") else each for each in (source, target)]
        return ["scp", "-q", *self.options, "-P", str(self._port), *sides]


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _forward(control: str, port: int) -> None:
    """Ask QEMU, over QMP, to forward a port of loopback to the machine's ssh."""
    with closing(socket.socket(socket.AF_UNIX)) as connection, connection.makefile("rw") as stream:
        connection.settimeout(30)
        connection.connect(control)
        line = f"hostfwd_add net tcp:127.0.0.1:{port}-:22"
        requests = (
            {"execute": "qmp_capabilities"},
            {"execute": "human-monitor-command", "arguments": {"command-line": line}},
        )
        stream.readline()
        for request in requests:
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            while "return" not in (answer := json.loads(stream.readline())):
                if "error" in answer:
                    raise RuntimeError(f"{request}: {answer['error']}")
            if answer["return"]:
                raise RuntimeError(f"{line}: {answer['return']}")
