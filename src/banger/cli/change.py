"""Changes as verbs see them: begun, shown, waited for, and cancelled by Ctrl-C.

The first Ctrl-C cancels and waits until what was done is undone; a second one leaves the undoing to the daemon.
"""

import contextlib
from collections.abc import Callable, Sequence

from banger import errors
from banger.cli.failures import Failures
from banger.cli.progress import Display
from banger.cli.terminal import Terminal, cell

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.api.operation import Operation
    from banger.cli.verb import Namespace
    from banger.sdk.client import Client

Begin = Callable[[str], "Operation"]


def carry_out(client: "Client", operation: "Operation", terminal: Terminal) -> "Operation":
    """Show a change until it has ended. Raises its error; `errors.Cancelled` after Ctrl-C."""
    display = Display(terminal)
    ended = operation
    try:
        for each in client.follow(operation):
            ended = each
            display.show(each)
    except KeyboardInterrupt:
        terminal.say("cancelling")
        ended = _cancel(client, operation, display)
    finally:
        display.clear()
    return client.result(ended)


def _cancel(client: "Client", operation: "Operation", display: Display) -> "Operation":
    ended = client.operation_cancel(operation.id)
    for each in client.follow(ended):
        ended = each
        display.show(each)
    return ended


def each_target(
    client: "Client",
    references: Sequence[str],
    identify: Callable[[str], str],
    begin: Begin,
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
    ended: list[tuple[str, Operation | errors.BangerError]] = []
    for number, (reference, started) in enumerate(begun):
        outcome = _wait(client, started, terminal)
        ended.append((reference, outcome))
        if isinstance(outcome, errors.Cancelled):
            _cancel_rest(client, [each for _, each in begun[number + 1 :]])
        elif not json and not isinstance(outcome, errors.BangerError):
            terminal.print(cell(outcome.subject))
    if json:
        terminal.document({"results": [_result(reference, outcome) for reference, outcome in ended]})
    failures = [outcome for _, outcome in ended if isinstance(outcome, errors.BangerError)]
    if failures and len(ended) == 1:
        raise failures[0]
    if failures:
        raise Failures(failures)
    return 0


def each_vm(arguments: "Namespace", terminal: Terminal, begin: "Callable[[Client, str], Operation]") -> int:
    """Begin a change for every machine that the verb names, as `each_target` does."""
    from banger.cli import targets
    from banger.sdk.client import Client

    with Client() as client:
        return each_target(
            client,
            arguments.vm,
            targets.identities(client, arguments.vm),
            lambda vm: begin(client, vm),
            terminal,
            json=arguments.json,
        )


def _begin_all(
    references: Sequence[str], identify: Callable[[str], str], begin: Begin
) -> "list[tuple[str, Operation | errors.BangerError]]":
    found: list[tuple[str, str | errors.BangerError]] = []
    seen: set[str] = set()
    for reference in references:
        try:
            identity = identify(reference)
            if identity not in seen:
                seen.add(identity)
                found.append((reference, identity))
        except errors.BangerError as error:
            found.append((reference, error))
    begun: list[tuple[str, Operation | errors.BangerError]] = []
    for reference, known in found:
        try:
            begun.append((reference, known if isinstance(known, errors.BangerError) else begin(known)))
        except errors.BangerError as error:
            begun.append((reference, error))
    return begun


def _wait(
    client: "Client", started: "Operation | errors.BangerError", terminal: Terminal
) -> "Operation | errors.BangerError":
    if isinstance(started, errors.BangerError):
        return started
    try:
        return carry_out(client, started, terminal)
    except errors.BangerError as error:
        return error


def _cancel_rest(client: "Client", rest: "Sequence[Operation | errors.BangerError]") -> None:
    for each in rest:
        if not isinstance(each, errors.BangerError):
            with contextlib.suppress(errors.BangerError):
                client.operation_cancel(each.id)


def _result(reference: str, outcome: "Operation | errors.BangerError") -> dict[str, object]:
    if isinstance(outcome, errors.BangerError):
        failure = {"code": outcome.code, "message": outcome.message, "hint": outcome.advice}
        return {"name": reference, "done": False, "error": failure}
    return {"name": outcome.subject, "done": True, "error": None}
