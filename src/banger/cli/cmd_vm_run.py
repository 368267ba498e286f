"""``banger vm run``: make a machine, run a command or a shell in it, and leave nothing that was not asked for.

With ``--rm`` the machine is ephemeral and held open from here: it is deleted at the end, and also when this process
is killed. Deleting is not cancelled by Ctrl-C.
"""

import os

import banger
from banger.api import routes
from banger.cli import guest_command, machine, session
from banger.cli.change import carry_out
from banger.cli.stopwatch import Stopwatch
from banger.cli.terminal import cell
from banger.paths import project_file
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence
    from typing import Any

    from banger.bootstrap.plan import Plan
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace
    from banger.sdk.change import Change
    from banger.sdk.exec import Command
    from banger.sdk.transport import Reply
    from banger.workspace.snapshot import Snapshot

    Taken = tuple[Snapshot | None, Plan]
else:
    import _signal as signal  # as in `banger.cli.session`


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    said = _said(arguments, terminal)
    _refuse_nonsense(arguments)
    watch = Stopwatch()
    taken = _taken(arguments, said.pop("packages", ()))
    if taken is not None:
        if arguments.dry_run:
            _show(arguments, taken, terminal)
            return 0
        watch.mark("read")
    with Client() as client:
        client.connect()
        watch.mark("connect")
        wanted = machine.request(arguments, ephemeral=arguments.rm)
        if said:
            from banger.cli import profile

            wanted = profile.merged(said, wanted)
        held, change, taken = _make(client, wanted, taken, terminal)
        watch.mark_change(change)
        name = change.subject
        if arguments.detach:
            if taken is not None:
                _equip(client, arguments, name, taken, terminal, watch)
            return _started(arguments, name, watch, terminal)
        capture = session.Capture() if arguments.json else None
        command = _execute(client, arguments, name, taken, capture, held, terminal, watch)
    if capture is not None:
        document = guest_command.document(name, command, capture)
        terminal.document({**document, "phases": watch.phases(), "seconds": watch.seconds()})
    return session.status(command)


def _said(arguments: "Namespace", terminal: "Terminal") -> "dict[str, Any]":
    """What profiles say; where there is none, that costs no more than a look."""
    directory = arguments.path or "."
    if not arguments.profile and (arguments.no_profile or project_file(directory) is None):
        return {}
    from banger.cli import profile

    said: dict[str, Any] = profile.settled(arguments, directory, terminal)
    if said.pop("workspace", False) and arguments.path is None:
        arguments.path = directory
    return said


def _taken(arguments: "Namespace", packages: "Sequence[str]") -> "Taken | None":
    """The repository, and what is to be installed. Who asks for neither does not pay for it."""
    if arguments.path is None and not packages:
        return None
    from banger.cli import bootstrap

    what = None
    if arguments.path is not None:
        from banger.cli import workspace

        what = workspace.taken(arguments)
    return what, bootstrap.planned(arguments, what, packages)


def _show(arguments: "Namespace", taken: "Taken", terminal: "Terminal") -> None:
    """What would be imported and installed."""
    from banger.cli import bootstrap, workspace

    what, plan = taken
    if what is not None:
        workspace.show(what, workspace.place(what), arguments.json, terminal)
    bootstrap.foretell(plan, terminal)


def _refuse_nonsense(arguments: "Namespace") -> None:
    """What could only be found out after a machine was made is refused before."""
    if arguments.path is None and (
        arguments.branch or getattr(arguments, "from") or arguments.include_untracked or arguments.dry_run
    ):
        raise banger.errors.UsageError(
            detail="--branch, --from, --include-untracked and --dry-run are about a repository: say which, as PATH"
        )
    if arguments.detach and arguments.rm:
        raise banger.errors.UsageError(detail="--detach leaves a machine and --rm deletes it: use one of them")
    if arguments.detach and arguments.command:
        raise banger.errors.UsageError(
            detail="--detach takes no command: start the machine with it, then use 'banger exec --detach'"
        )
    shell = not arguments.command and not arguments.detach and not arguments.dry_run
    if arguments.json and shell and os.isatty(session.STDIN_FD):
        raise banger.errors.UsageError(detail="--json needs a command: a shell on a terminal makes no document")


def _started(arguments: "Namespace", name: str, watch: Stopwatch, terminal: "Terminal") -> int:
    if arguments.json:
        terminal.document({"vm": name, "phases": watch.phases(), "seconds": watch.seconds()})
    else:
        terminal.print(cell(name))
    return 0


def _execute(
    client: Client,
    arguments: "Namespace",
    name: str,
    taken: "Taken | None",
    capture: session.Capture | None,
    held: "Reply | None",
    terminal: "Terminal",
    watch: Stopwatch,
) -> "Command":
    shell = not arguments.command and not arguments.entrypoint
    request = guest_command.request(arguments, shell=shell)
    try:
        if taken is not None:
            cwd = _equip(client, arguments, name, taken, terminal, watch)
            request["cwd"] = request["cwd"] or cwd
        command = session.run(client, name, request, capture)
        watch.mark("exec")
    except banger.errors.CommandNotFound as error:
        if shell:
            error.advise(
                "the image has no shell: name one of its programs, as in 'banger run --image IMAGE -- PROGRAM'"
            )
        raise
    finally:
        if arguments.rm:
            _delete(client, name, terminal)
            watch.mark("delete")
        if held is not None:
            held.close()
    if not arguments.rm and capture is None:
        terminal.say(f"{cell(name)} goes on running; 'banger rm {cell(name)}' deletes it", "dim")
    return command


def _make(
    client: Client, wanted: dict[str, object], taken: "Taken | None", terminal: "Terminal"
) -> "tuple[Reply | None, Change, Taken | None]":
    """Make the machine; one that could not get what it needs is refused. What can be done is left of the plan."""
    if taken is None:
        return *machine.create(client, wanted, terminal), None
    from banger.cli import bootstrap

    what, plan = taken
    try:
        held, change = machine.create(client, {**wanted, **bootstrap.conditions(plan)}, terminal)
    except banger.errors.NoWayOut as refused:
        bootstrap.no_way(refused, plan)
        raise
    return held, change, (what, bootstrap.possible(plan, change))


def _equip(
    client: Client, arguments: "Namespace", name: str, taken: "Taken", terminal: "Terminal", watch: Stopwatch
) -> str | None:
    """Bring the repository, install the packages and begin with its tools; where commands run from then on."""
    from banger.cli import bootstrap, workspace

    what, plan = taken
    try:
        if what is not None:
            workspace.bring(client, name, what, terminal)
            watch.mark("import")
        if plan.packages:
            bootstrap.add_packages(client, name, plan, terminal)
            watch.mark("packages")
    except (banger.errors.BangerError, KeyboardInterrupt):
        if not arguments.rm:
            terminal.say(f"{cell(name)} goes on running without all of it; 'banger rm {cell(name)}' deletes it", "dim")
        raise
    if what is None:
        return None
    bootstrap.carry_out(client, name, plan, what, terminal, wait=arguments.detach)
    return workspace.directory(what)


def _delete(client: Client, name: str, terminal: "Terminal") -> None:
    """Delete the machine; an impatient Ctrl-C must not leave it behind."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        carry_out(client, client.begin(routes.VM_DELETE, name), terminal)
    except banger.errors.NotFound:
        pass  # the guest powered itself off, and an ephemeral machine is gone then
    finally:
        signal.signal(signal.SIGINT, before)
