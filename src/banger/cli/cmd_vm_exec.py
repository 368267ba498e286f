"""``banger vm exec``: a command in a machine that runs. Works on plain data, as `banger.cli.cmd_vm_list` does."""

from banger.cli import guest_command, session
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace
    from banger.sdk.exec import Command


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    def begun(command: "Command") -> None:
        if command.workspace is not None and not arguments.auto_prepare:
            _warn(arguments.vm, command.workspace, terminal)

    with Client() as client:
        if arguments.auto_prepare:
            _prepare(client, arguments.vm, terminal)
        request = guest_command.request(arguments)
        if arguments.detach:
            from banger.api import routes
            from banger.cli import cmd_vm_session_start

            started = cmd_vm_session_start.start(client, arguments.vm, request, terminal, arguments.json)
            workspace = client.document(routes.VM_SHOW, arguments.vm).get("workspace")
            if workspace is not None and workspace["path"] == started.get("cwd") and not arguments.auto_prepare:
                _warn(arguments.vm, workspace, terminal)
            return 0
        capture = session.Capture() if arguments.json else None
        command = session.run(client, arguments.vm, request, capture, begun)
    if capture is not None:
        terminal.document(guest_command.document(arguments.vm, command, capture))
    return session.status(command)


def _warn(vm: str, workspace: "dict[str, Any]", terminal: "Terminal") -> None:
    """Say it when the host's repository is at another commit than the one that was imported."""
    now = _moved(workspace)
    if now is not None:
        from banger.text import printable

        was = f"at {workspace['commit'][:12]}" if workspace["commit"] else "without a commit"
        there = f"{printable(workspace['source'])} is at {now[:12]}"
        prepare = f"'banger vm workspace prepare {printable(vm, 64)}' imports that"
        terminal.say(f"the workspace is {was}, {there}: {prepare}", "yellow")


def _moved(workspace: "dict[str, Any]") -> "str | None":
    from banger.workspace import head

    return head.moved(workspace["source"], workspace["commit"], workspace.get("start"))


def _prepare(client: Client, vm: str, terminal: "Terminal") -> None:
    """Import what has changed on this host, in a commit or not. Raises what `banger.sdk.workspace.prepare` does."""
    from banger.cli import workspace as shown
    from banger.sdk import workspace as importing

    with shown.watched(vm, terminal) as watch:
        importing.prepare(client, vm, watch=watch)
