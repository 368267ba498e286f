"""The reference page of what root does for banger: made from the registry, one row an operation."""

import dataclasses

from banger.helper.operation import Operation
from banger.helper.registry import OPERATIONS

_HEAD = """# Privileged operations

Everything that the root helper does, in the words of its source. Whoever calls it names one of these and its arguments,
so this table is also all that is left to somebody who has taken over the daemon.

| operation | what it does | arguments | descriptors | gate |
|---|---|---|---|---|
"""


def page() -> str:
    """The page."""
    return _HEAD + "".join(map(_row, OPERATIONS))


def _row(kind: type[Operation]) -> str:
    arguments = ", ".join(f"`{each.name}`" for each in dataclasses.fields(kind))
    purpose = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
    cells = (
        f"`{kind.NAME}`",
        purpose.replace("``", "`"),
        arguments or "-",
        ", ".join(kind.DESCRIPTORS) or "-",
        kind.GATE,
    )
    return f"| {' | '.join(each.replace('|', chr(92) + '|') for each in cells)} |\n"
