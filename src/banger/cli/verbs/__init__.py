"""How what is typed finds its row of the verb table, of which only the part with the first word is loaded.

The whole is `banger.cli.verbs.table`: for help, completion, and whoever wants to know what there is.
"""

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Sequence

    from banger.cli.verb import Group, Verb

PARTS = {
    **dict.fromkeys(("vm", "run", "exec", "ssh", "ps", "cp", "rm", "forward"), "vm"),
    "vm session": "session",
    "vm workspace": "workspace",
    "image": "image",
    "kernel": "kernel",
    "config": "config",
}
"""First words, and the module with their rows; it is `banger.cli.verbs.system` for all others."""


def find(words: "Sequence[str]") -> "tuple[Verb | Group | None, int]":
    """The row or group that the first words name, and how many of them did; None when they name nothing."""
    if not words:
        return None, 0
    name = PARTS.get(" ".join(words[:2])) or PARTS.get(words[0], "system")
    part = __import__(f"banger.cli.verbs.{name}", fromlist=["GROUPS"])
    verbs: list[Verb] = [*(verb for group in part.GROUPS for verb in group.verbs), *part.SINGLE]
    for length in (3, 2, 1):
        typed = " ".join(words[:length])
        if len(words) >= length:
            for verb in verbs:
                if typed == verb.path or typed in verb.aliases:
                    return verb, length
    for group in part.GROUPS:
        length = group.name.count(" ") + 1
        if " ".join(words[:length]) == group.name:
            return group, length
    return None, 0
