"""``banger internal ssh-proxy NAME.vm``: the connection under ssh, as its ProxyCommand.

An sshd of the connection's own is executed in the machine and speaks on its stdin and stdout (``sshd -i``), as a
super-server would start it. So nothing has to listen there, no network is needed, and it is the same in a machine whose
init has not come so far, or that has none. The guest's own configuration of sshd holds.

When ssh has ended it closes stdin and sends SIGHUP: the sshd is told of the first and given a moment to take its leave.
"""

import _thread
import os

import banger
from banger.cli import session
from banger.cli.cmd_vm_ssh import SUFFIX
from banger.sdk.client import Client
from banger.sdk.exec import STDERR, Command
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    import signal
    from types import FrameType

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace
else:
    import _signal as signal  # as in `banger.cli.session`

LEAVE = 3
"""Seconds that the sshd has for its end."""

NO_SERVER = 127

# Debian's sshd wants a directory that only its unit makes.
_FIND = """\
for sshd in /usr/sbin/sshd /usr/local/sbin/sshd /usr/bin/sshd; do
    [ -x "$sshd" ] || continue
    [ -d /run/sshd ] || mkdir -p -m 0755 /run/sshd
    exec "$sshd" {}
done
exit 127
"""
CONNECT, EXAMINE = _FIND.format("-i"), _FIND.format("-t")


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    name = arguments.host.removesuffix(SUFFIX)
    with Client() as client:
        command, said = _serve(client, name)
        if not said and command.exit_code:
            raise _no_server(client, name, command.exit_code)
    return session.status(command)


def request(script: str, stdin: bool) -> "dict[str, object]":
    """A script of the guest's shell, as root, in the terms of `banger.api.vm.ExecVm`."""
    return {"argv": ["/bin/sh", "-c", script], "user": "0", "cwd": "/", "stdin": stdin}


def _serve(client: Client, name: str) -> tuple[Command, bool]:
    """Be the connection, from its beginning to its end; and whether the other side said anything."""
    try:
        command = client.vm_exec(name, request(CONNECT, stdin=True))
    except banger.errors.CommandNotFound:
        raise _no_server(client, name, NO_SERVER) from None
    said = False
    with command:
        signal.signal(signal.SIGHUP, _left_alone)
        _thread.start_new_thread(_feed, (command,))
        for stream, data in command:
            if stream == STDERR:
                session.write_all(session.STDERR_FD, data)
            else:
                said = True
                session.write_all(session.STDOUT_FD, data)
    return command, said


def _feed(command: Command) -> None:
    while data := os.read(session.STDIN_FD, session.PIECE):
        command.write(data)
    command.close_stdin()
    signal.alarm(LEAVE)  # nobody catches it


def _left_alone(number: int, frame: "FrameType | None") -> None:
    """Keep nobody waiting who waits for the end of stderr."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, session.STDERR_FD)
    os.close(nowhere)


def _no_server(client: Client, name: str, status: int) -> "banger.errors.BangerError":
    """Why no sshd spoke."""
    error: banger.errors.BangerError
    if status == NO_SERVER:
        error = banger.errors.CommandNotFound(command="sshd")
    else:
        capture = session.Capture()
        with client.vm_exec(name, request(EXAMINE, stdin=False)) as asked:
            for stream, data in asked:
                capture.take(stream, data)
        reason = capture.text(STDERR).strip() or f"it ended with status {status}"
        error = banger.errors.CommandNotExecutable(command="sshd", reason=printable(reason, 400))
    error.advise(f"'banger exec -t {name} -- sh' needs no ssh server")
    return error
