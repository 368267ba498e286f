"""How verbs show what there is: ``--json`` the document, ``--quiet`` the names alone, otherwise a table."""

from banger.cli.terminal import Terminal, cell

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from banger.cli.verb import Namespace


def show(
    document: "dict[str, Any]",
    key: str,
    arguments: "Namespace",
    terminal: Terminal,
    columns: "Sequence[tuple[str, str]]",
    row: "Callable[[dict[str, Any]], dict[str, object]]",
) -> int:
    """Show what ``document`` has under ``key``; ``row`` makes of one of them what the table's ``columns`` show."""
    if arguments.json:
        terminal.document(document)
    elif arguments.quiet:
        for each in document[key]:
            terminal.print(cell(each["name"]))
    else:
        terminal.table([row(each) for each in document[key]], columns)
    return 0
