"""The reference page of what root does for banger: made from the registry, one row an operation."""

from banger.helper.registry import OPERATIONS

_HEAD = """# Privileged operations

Everything that the root helper does, in the words of its source. Whoever calls it names one of these and its arguments,
so this table is also all that is left to somebody who has taken over the daemon.

| operation | what the caller passes | what is refused |
|---|---|---|
"""


def page() -> str:
    """The page."""
    return _HEAD + "".join(
        f"| `{each.NAME}` | {', '.join(each.DESCRIPTORS) or '-'} | {each.GATE.replace('|', chr(92) + '|')} |\n"
        for each in OPERATIONS
    )
