"""``banger vm ssh``: this process becomes the host's ssh, which reaches the machine by banger's own configuration.

Works on plain data, as `banger.cli.cmd_vm_list` does.
"""

import os

import banger
from banger.api import routes
from banger.paths import Paths
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

SUFFIX = ".vm"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_")


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    user, at, reference = arguments.vm.rpartition("@")
    with Client() as client:
        vm = client.document(routes.VM_SHOW, reference.removesuffix(SUFFIX))
    _check(vm)
    target = f"{user}{at}{vm['name']}{SUFFIX}"
    words = ["ssh", "-F", Paths.from_environment().ssh_config, *arguments_of(target, arguments.command)]
    terminal.flush()
    try:
        os.execvp("ssh", words)  # noqa: S606 - never through a shell
    except FileNotFoundError:
        raise banger.errors.ToolMissing(tool="ssh", package="openssh-client") from None


def arguments_of(target: str, words: "Sequence[str]") -> list[str]:
    """ssh's words: its options as they are, and what comes after ``--`` so that the far shell reads it as it is."""
    if "--" not in words:
        return [target, *words]
    at = list(words).index("--")
    command = " ".join(map(quoted, words[at + 1 :]))
    return [target, *words[:at], *(["--", command] if command else [])]


def quoted(word: str) -> str:
    """A word for a shell (`shlex.quote`, whose module takes longer to load than all this)."""
    return word if word and _PLAIN.issuperset(word) else "'" + word.replace("'", "'\"'\"'") + "'"


def _check(vm: "dict[str, Any]") -> None:
    """Say what ssh could only say in other words."""
    if vm["state"] != "running":
        stopped = banger.errors.WrongState(name=vm["name"], state=vm["state"], needed="running")
        stopped.advise(f"'banger vm start {vm['name']}' starts it")
        raise stopped
    if not vm.get("host_key"):
        unknown = banger.errors.UsageError(detail=f"the machine {vm['name']!r} has no host key that ssh would know")
        unknown.advise(f"'banger vm restart {vm['name']}' gives it one; 'banger exec -t {vm['name']} sh' needs none")
        raise unknown
