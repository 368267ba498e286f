"""What ``vm run`` installs: a profile's packages and the repository's tools, planned before there is a machine.

Packages are there before anything else runs, or the run has failed. Tools are best effort: a machine without them is a
machine all the same, so what cannot be done is said, and fails nothing. Where there are packages, or files of mise's,
and the machine could not download anything, it is refused before it is made; where its image has no mise, that is told
before.
"""

import stat
from collections import deque
from collections.abc import Sequence

from banger import errors
from banger.api import routes
from banger.bootstrap import distribution, guest, pins
from banger.bootstrap.plan import FILE_LIMIT, Plan, build
from banger.cli.terminal import Terminal, cell
from banger.cli.verb import Namespace
from banger.sdk import workspace
from banger.sdk.change import Change
from banger.sdk.client import Client
from banger.sdk.exec import Command
from banger.text import printable
from banger.workspace import snapshot
from banger.workspace.snapshot import Snapshot

LINE_LIMIT = 2000
LAST = 3
"""So many lines of what a package manager says tell why it failed."""

SESSION = "bootstrap"
"""What is done in the background is this session of the machine's (`banger vm session`)."""


def planned(arguments: Namespace, taken: Snapshot | None, packages: Sequence[str]) -> Plan:
    """What will be installed; links are not followed. A single command does without tools, not without packages."""
    files: dict[str, bytes | None] = {}
    if arguments.no_bootstrap:
        return build(files)
    if taken is not None and not (arguments.command or arguments.entrypoint):
        for name in pins.NAMES:
            entry = taken.files.get(name.encode())
            if entry is not None and stat.S_ISREG(entry.mode):
                files[name] = snapshot.content(taken, name.encode()) if entry.size <= FILE_LIMIT else None
    return build(files, packages)


def foretell(plan: Plan, terminal: Terminal) -> None:
    """What would be installed, for ``--dry-run``."""
    if not plan.empty:
        terminal.say(f"would be installed: {plan.needed}", "dim")
    _explain(plan, terminal, every=True)


def conditions(plan: Plan) -> dict[str, object]:
    """What a request for the machine says of the plan. A package may be mise: then nothing is known before."""
    return {"outside": plan.outward, "tools": bool(plan.tools) and not plan.packages}


def possible(plan: Plan, change: Change) -> Plan:
    """The plan without what its machine's making has told to be impossible."""
    return plan.without_tools if guest.NO_MISE in change.notices else plan


def no_way(refused: errors.NoWayOut, plan: Plan) -> None:
    """Say what a machine that reaches nothing was wanted for."""
    refused.advise(f"what it needs comes from there ({plan.needed}): --nat lets it, --no-bootstrap leaves that out")


def add_packages(client: Client, name: str, plan: Plan, terminal: Terminal) -> None:
    """Install the packages that are planned and not there, to the end. Raises `errors.PackagesFailed`."""
    terminal.say(f"installing: {plan.listed}", "dim")
    request: dict[str, object] = {"argv": guest.packages_command(plan.packages), "cwd": "/", "user": "0:0"}
    try:
        command, said = _told(client, name, request, terminal)
    except errors.CommandNotFound:
        raise errors.PackagesFailed(reason="the image has no shell") from None
    if command.exit_code == guest.NO_TOOL:
        known = ", ".join(each.name for each in distribution.TOOLS)
        raise errors.PackagesFailed(reason=f"the image has none of the package managers that are known here ({known})")
    if command.exit_code != 0:
        reasons = [each.strip() for each in said if not each.startswith(guest.STEP)]
        if command.exit_code is None:
            reasons.append(f"signal {command.signal} ended it")
        raise errors.PackagesFailed(reason="; ".join(reasons) or "it did not say why")


def carry_out(client: Client, name: str, plan: Plan, taken: Snapshot, terminal: Terminal, *, wait: bool) -> None:
    """Install the tools that are planned in a machine that has the repository: to the end, or in the background."""
    _explain(plan, terminal)
    if not plan.tools:
        return
    lacking = _lacking(client, name)
    if lacking:
        terminal.say(f"not installed: {plan.tools}; {lacking}", "yellow" if plan.managed else "dim")
        return
    repository = taken.repository.name
    log = printable(guest.log(repository))
    request: dict[str, object] = {"argv": guest.command(plan, workspace.place(taken), repository), "cwd": "/"}
    if not wait:
        client.document(routes.VM_SESSION_START, name, request={**request, "name": SESSION})
        terminal.say(f"installing in the background: {plan.tools}; what it says is in {log}", "dim")
        return
    terminal.say(f"installing: {plan.tools}", "dim")
    command, _ = _told(client, name, request, terminal)
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
    return "" if command.exit_code == 0 else guest.LACKS_MISE


def _told(client: Client, name: str, request: dict[str, object], terminal: Terminal) -> tuple[Command, deque[str]]:
    """Run a command to its end and show what it says, as it comes; with the last lines of that."""
    last: deque[str] = deque(maxlen=LAST)
    kept = b""
    with client.vm_exec(name, request) as command:
        for _, data in command:
            *lines, kept = (kept + data).split(b"\n")
            for line in lines:
                _tell(line, last, terminal)
            kept = kept[:LINE_LIMIT]
    _tell(kept, last, terminal)
    return command, last


def _tell(line: bytes, last: deque[str], terminal: Terminal) -> None:
    if line.strip():
        last.append(printable(line.decode("utf-8", "replace"), LINE_LIMIT))
        terminal.say("  " + last[-1], "dim")
