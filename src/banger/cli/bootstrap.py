"""``vm run PATH``: the tools that the repository asks for, planned before there is a machine, and installed in it.

Best effort: a machine without them is a machine all the same, so what cannot be done is said, and fails nothing. Only
where the repository has files of mise's and the machine could not download anything, it is refused before it is made.
"""

import stat

from banger import errors
from banger.api import routes
from banger.bootstrap import guest, pins
from banger.bootstrap.plan import FILE_LIMIT, Plan, build
from banger.cli.terminal import Terminal, cell
from banger.cli.verb import Namespace
from banger.sdk import workspace
from banger.sdk.client import Client
from banger.text import printable
from banger.workspace import snapshot
from banger.workspace.snapshot import Snapshot

LINE_LIMIT = 2000
SESSION = "bootstrap"
"""What is done in the background is this session of the machine's (`banger vm session`)."""


def planned(arguments: Namespace, taken: Snapshot) -> Plan:
    """What the files ask for that the machine will get; links are not followed. Nothing before a single command."""
    files: dict[str, bytes | None] = {}
    single = arguments.command or arguments.entrypoint
    for name in () if single or arguments.no_bootstrap else pins.NAMES:
        entry = taken.files.get(name.encode())
        if entry is not None and stat.S_ISREG(entry.mode):
            files[name] = snapshot.content(taken, name.encode()) if entry.size <= FILE_LIMIT else None
    return build(files)


def foretell(plan: Plan, terminal: Terminal) -> None:
    """What would be installed, for ``--dry-run``."""
    if not plan.empty:
        terminal.say(f"would be installed: {plan.needed}", "dim")
    _explain(plan, terminal, every=True)


def no_way(refused: errors.NoWayOut, plan: Plan) -> None:
    """Say what a machine that reaches nothing was wanted for."""
    refused.advise(f"its tools come from there ({plan.needed}): --nat lets it, --no-bootstrap leaves them out")


def carry_out(client: Client, name: str, plan: Plan, taken: Snapshot, terminal: Terminal, *, wait: bool) -> None:
    """Install what is planned in a machine that has the repository: to the end, or in the background."""
    _explain(plan, terminal)
    if plan.empty:
        return
    lacking = _lacking(client, name)
    if lacking:
        terminal.say(f"not installed: {plan.needed}; {lacking}", "yellow" if plan.managed else "dim")
        return
    repository = taken.repository.name
    log = printable(guest.log(repository))
    request: dict[str, object] = {"argv": guest.command(plan, workspace.place(taken), repository), "cwd": "/"}
    if not wait:
        client.document(routes.VM_SESSION_START, name, request={**request, "name": SESSION})
        terminal.say(f"installing in the background: {plan.needed}; what it says is in {log}", "dim")
        return
    terminal.say(f"installing: {plan.needed}", "dim")
    with client.vm_exec(name, request) as command:
        kept = b""
        for _, data in command:
            *lines, kept = (kept + data).split(b"\n")
            for line in lines:
                _tell(line, terminal)
            kept = kept[:LINE_LIMIT]
    _tell(kept, terminal)
    if command.exit_code != 0:
        terminal.say(f"not all tools were installed: {log} in {cell(name)} says why", "yellow")


def _explain(plan: Plan, terminal: Terminal, *, every: bool = False) -> None:
    """Say which tools are left out, and why; with ``every`` also what changes nothing."""
    for skip in plan.skips:
        if skip.lost or every:
            terminal.say(f"{skip.source}: {skip.reason}", "dim")


def _lacking(client: Client, name: str) -> str:
    """What is missing for a plan to be carried out; nothing when all is there."""
    if not client.document(routes.VM_SHOW, name)["nat"]:
        return "the machine does not reach the outside, which --nat lets it"
    try:
        with client.vm_exec(name, {"argv": list(guest.PREPARE), "cwd": "/"}) as command:
            for _ in command:
                pass
    except errors.CommandNotFound:
        return "the image has no shell"
    return "" if command.exit_code == 0 else "the image has no mise (https://mise.jdx.dev)"


def _tell(line: bytes, terminal: Terminal) -> None:
    if line.strip():
        terminal.say("  " + printable(line.decode("utf-8", "replace"), LINE_LIMIT), "dim")
