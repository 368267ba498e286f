"""From a request to run a command to what the agent is told: the image's own wishes, the machine's, the client's.

Later wins: the image's environment, the machine's, the request's. Working directory and user are the image's unless
the request names others. Entrypoint and default command are used only when they are asked for: a machine is
a place to run commands in, and ``vm exec -- ls`` must list files whatever the image was made for.
"""

from collections.abc import Mapping

from banger.api.image import ImageConfig
from banger.api.vm import ExecVm
from banger.guest.command import ExecSpec
from banger.vms import wanted

LOGIN_SHELL = ("/bin/sh", "-c", 'exec "${SHELL:-/bin/sh}" -l')
LOGIN_SHELL_AT_HOME = ("/bin/sh", "-c", 'cd "${HOME:-/}" 2>/dev/null; exec "${SHELL:-/bin/sh}" -l')
"""The user's own shell, in the home directory unless a place was named. The agent sets SHELL and HOME from the guest's
account; an image without /bin/sh has no shell."""


def exec_spec(request: ExecVm, config: ImageConfig, machine: Mapping[str, str]) -> ExecSpec:
    """What the agent is asked for. Raises `errors.UsageError`."""
    env = dict(each.split("=", 1) for each in config.env if "=" in each)
    env.update(machine)
    env.update(wanted.environment(request.env))
    return ExecSpec(
        argv=tuple(_argv(request, config)),
        env=env,
        cwd=request.cwd or config.cwd or None,
        user=request.user or config.user or None,
        tty=(request.rows, request.cols) if request.tty else None,
        timeout=request.timeout,
        stdin=request.stdin or request.tty,
    )


def _argv(request: ExecVm, config: ImageConfig) -> list[str]:
    argv = request.argv
    if request.entrypoint:
        argv = config.entrypoint + (argv or config.cmd)
    return argv or list(LOGIN_SHELL if request.cwd or config.cwd else LOGIN_SHELL_AT_HOME)
