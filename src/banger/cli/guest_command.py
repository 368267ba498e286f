"""From the arguments that `vm run` and `vm exec` share to the request, and from the result to the document."""

import os

from banger.cli import session

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.verb import Namespace
    from banger.sdk.exec import Command


def request(arguments: "Namespace", *, shell: bool = False) -> dict[str, object]:
    """What is to be run, in the terms of `banger.api.vm.ExecVm`.

    ``shell`` asks for a login shell, on a terminal where there is one.
    """
    terminal = os.isatty(session.STDIN_FD)
    tty = arguments.tty or (shell and terminal and not arguments.json)
    rows, cols = session.size()
    env = dict(arguments.env)
    if tty:
        env.setdefault("TERM", os.environ.get("TERM", "xterm"))
    return {
        "argv": arguments.command,
        "env": env,
        "cwd": arguments.workdir,
        "user": arguments.user,
        "tty": tty,
        "rows": rows,
        "cols": cols,
        "stdin": arguments.interactive or shell,
        "timeout": arguments.timeout,
        "entrypoint": arguments.entrypoint,
    }


def document(vm: str, command: "Command", capture: session.Capture) -> dict[str, object]:
    """How a command ended and what it said."""
    return {
        "vm": vm,
        "exit_code": command.exit_code,
        "signal": command.signal,
        "timed_out": command.timed_out,
        "stdout": capture.text(1),
        "stderr": capture.text(2),
        "truncated": capture.truncated,
    }
