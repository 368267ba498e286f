"""Changes as verbs see them: begun, shown, waited for, and cancelled by Ctrl-C.

The first Ctrl-C cancels and waits until what was done is undone; a second one leaves the undoing to the daemon.
"""

import banger
from banger.api import routes
from banger.cli.progress import Display
from banger.cli.terminal import Terminal, cell
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from banger.api.routes import Route
    from banger.cli.verb import Namespace
    from banger.sdk.change import Change

    Outcome = Change | banger.errors.BangerError


def carry_out(client: Client, change: "Change", terminal: Terminal) -> "Change":
    """Show a change until it has ended. Raises its error; `errors.Cancelled` after Ctrl-C."""
    display = Display(terminal)
    ended = change
    try:
        for each in client.follow(change):
            ended = each
            display.show(each)
    except KeyboardInterrupt:
        terminal.say("cancelling")
        ended = _cancel(client, change, display)
    finally:
        display.clear()
    return client.result(ended)


def _cancel(client: Client, change: "Change", display: Display) -> "Change":
    ended = cancelled(client, change)
    for each in client.follow(ended):
        ended = each
        display.show(each)
    return ended


def cancelled(client: Client, change: "Change") -> "Change":
    """Ask a change to go back; it is followed as before."""
    return client.begin(routes.OPERATION_CANCEL, change.id)


def make(
    arguments: "Namespace", terminal: Terminal, route: "Route", shown: "Route", ref: str = "", request: object = None
) -> int:
    """Carry out a change that makes something, and tell its name, or with ``--json`` what the route ``shown`` says."""
    with Client() as client:
        change = carry_out(client, client.begin(route, ref, request), terminal)
        if arguments.json:
            terminal.document(client.document(shown, change.subject))
        else:
            terminal.print(cell(change.subject))
    return 0


def each_target(
    client: Client,
    references: "Sequence[str]",
    identify: "Callable[[str], str]",
    begin: "Callable[[str], Change]",
    terminal: Terminal,
    *,
    json: bool = False,
) -> int:
    """Look all targets up, begin a change for each, then wait for all: one bad name does not stop the others.

    ``identify`` turns a reference into an id, so that one target named twice is changed once; all are known before
    the first change begins. Prints the names of what was changed, in the order given. Raises the error of the only
    target, or `Failures`.
    """
    begun = _begin_all(references, identify, begin)
    ended: list[tuple[str, Outcome]] = []
    for number, (reference, started) in enumerate(begun):
        outcome = _wait(client, started, terminal)
        ended.append((reference, outcome))
        if isinstance(outcome, Exception):
            if isinstance(outcome, banger.errors.Cancelled):
                _cancel_rest(client, [each for _, each in begun[number + 1 :]])
        elif not json:
            terminal.print(cell(outcome.subject))
    if json:
        terminal.document({"results": [_result(reference, outcome) for reference, outcome in ended]})
    failures = [outcome for _, outcome in ended if isinstance(outcome, Exception)]
    if failures and len(ended) == 1:
        raise failures[0]
    if failures:
        from banger.cli.failures import Failures

        raise Failures(failures)
    return 0


def each_vm(arguments: "Namespace", terminal: Terminal, route: "Route", request: object = None) -> int:
    """Begin the change of a row for every machine that the verb names, as `each_target` does."""
    from banger.cli import targets

    with Client() as client:
        return each_target(
            client,
            arguments.vm,
            targets.identities(client, arguments.vm),
            lambda vm: client.begin(route, vm, request),
            terminal,
            json=arguments.json,
        )


def _begin_all(
    references: "Sequence[str]", identify: "Callable[[str], str]", begin: "Callable[[str], Change]"
) -> "list[tuple[str, Outcome]]":
    found: list[tuple[str, str | banger.errors.BangerError]] = []
    seen: set[str] = set()
    for reference in references:
        try:
            identity = identify(reference)
            if identity not in seen:
                seen.add(identity)
                found.append((reference, identity))
        except banger.errors.BangerError as error:
            found.append((reference, error))
    begun: list[tuple[str, Outcome]] = []
    for reference, known in found:
        try:
            begun.append((reference, known if isinstance(known, Exception) else begin(known)))
        except banger.errors.BangerError as error:
            begun.append((reference, error))
    return begun


def _wait(client: Client, started: "Outcome", terminal: Terminal) -> "Outcome":
    if isinstance(started, Exception):  # whose class is not named, because nothing may have loaded the errors
        return started
    try:
        return carry_out(client, started, terminal)
    except banger.errors.BangerError as error:
        return error


def _cancel_rest(client: Client, rest: "Sequence[Outcome]") -> None:
    for each in rest:
        if not isinstance(each, Exception):
            try:
                cancelled(client, each)
            except banger.errors.BangerError:
                pass  # it has ended already


def _result(reference: str, outcome: "Outcome") -> dict[str, object]:
    if isinstance(outcome, Exception):
        failure = {"code": outcome.code, "message": outcome.message, "hint": outcome.advice}
        return {"name": reference, "done": False, "error": failure}
    return {"name": outcome.subject, "done": True, "error": None}
