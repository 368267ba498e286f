"""The verb table, and how what is typed finds its row."""

from banger.cli.verbs.image import IMAGE
from banger.cli.verbs.kernel import KERNEL
from banger.cli.verbs.system import DAEMON, FIRECRACKER, INTERNAL, SINGLE, SYSTEM
from banger.cli.verbs.vm import VM

TYPE_CHECKING = False  # typing itself is not loaded: it would cost a verb a tenth of its start-up
if TYPE_CHECKING:
    from collections.abc import Sequence

    from banger.cli.verb import Group, Verb

GROUPS: tuple["Group", ...] = (VM, IMAGE, KERNEL, DAEMON, SYSTEM, FIRECRACKER)
VERBS: tuple["Verb", ...] = (*(verb for group in GROUPS for verb in group.verbs), *SINGLE, *INTERNAL)


def find(words: "Sequence[str]") -> tuple["Verb | Group | None", int]:
    """The row or group that the first words name, and how many of them did; None when they name nothing."""
    for length in (3, 2, 1):
        typed = " ".join(words[:length])
        if len(words) >= length:
            for verb in VERBS:
                if typed == verb.path or typed in verb.aliases:
                    return verb, length
    for group in GROUPS:
        if words and words[0] == group.name:
            return group, 1
    return None, 0
