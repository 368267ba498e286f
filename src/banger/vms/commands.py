"""From a request to run a command to what the agent is told: the image's own wishes, the machine's, the client's.

Later wins: the image's environment, the machine's, the request's. The user is the image's unless the request names
another; the working directory is the request's, or the machine's workspace, or the image's. Entrypoint and default
command are used only when they are asked for: a machine is a place to run commands in, and ``vm exec -- ls`` must list
files whatever the image was made for. Where a repository was imported, root's commands also find the tools that mise
has installed for it.
"""

from collections.abc import Mapping

from banger.api.image import ImageConfig
from banger.api.vm import ExecVm
from banger.api.workspace import Workspace
from banger.bootstrap import guest as tools
from banger.guest.command import ExecSpec
from banger.vms import wanted

LOGIN_SHELL = ("/bin/sh", "-c", 'exec "${SHELL:-/bin/sh}" -l')
LOGIN_SHELL_AT_HOME = ("/bin/sh", "-c", 'cd "${HOME:-/}" 2>/dev/null; exec "${SHELL:-/bin/sh}" -l')
"""The user's own shell, in the home directory unless a place was named. The agent sets SHELL and HOME from the guest's
account; an image without /bin/sh has no shell."""


DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The agent's own (guest-agent/spawn.c)."""


def places_of_mise(config: ImageConfig) -> list[str]:
    """Where a machine of an image may have mise from the start: in its PATH, and where mise's own installers put it."""
    found = _environment(config).get("PATH") or DEFAULT_PATH
    return [f"{each}/mise" for each in f"{found}:{tools.MISE_PLACES}".split(":") if each.startswith("/")]


def place(request: ExecVm, config: ImageConfig, workspace: Workspace | None) -> Workspace | None:
    """The workspace, where a command is to run in it: as root, whose it is, and no directory was named."""
    if workspace is None or not workspace.complete or request.cwd or not _is_root(request, config):
        return None
    return workspace


def _environment(config: ImageConfig) -> dict[str, str]:
    return dict(each.split("=", 1) for each in config.env if "=" in each)


def _is_root(request: ExecVm, config: ImageConfig) -> bool:
    return (request.user or config.user or "0").partition(":")[0] in ("", "0", "root")


def exec_spec(
    request: ExecVm, config: ImageConfig, machine: Mapping[str, str], workspace: Workspace | None = None
) -> ExecSpec:
    """What the agent is asked for, in a machine with this workspace. Raises `errors.UsageError`."""
    env = _environment(config)
    if workspace is not None and _is_root(request, config):
        env["PATH"] = f"{tools.SHIMS}:{env.get('PATH') or DEFAULT_PATH}"
    env.update(machine)
    env.update(wanted.environment(request.env))
    there = place(request, config, workspace)
    cwd = request.cwd or (there.path if there is not None else config.cwd) or None
    return ExecSpec(
        argv=tuple(_argv(request, config, cwd)),
        env=env,
        cwd=cwd,
        user=request.user or config.user or None,
        tty=(request.rows, request.cols) if request.tty else None,
        timeout=request.timeout,
        stdin=request.stdin or request.tty,
    )


def _argv(request: ExecVm, config: ImageConfig, cwd: str | None) -> list[str]:
    argv = request.argv
    if request.entrypoint:
        argv = config.entrypoint + (argv or config.cmd)
    return argv or list(LOGIN_SHELL if cwd else LOGIN_SHELL_AT_HOME)
