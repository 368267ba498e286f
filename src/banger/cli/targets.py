"""Which machines a verb is about, when it may be about several: all names are looked up before anything is changed.

Several references are held against one list, by the rules of the daemon: a name, an id, or the beginning of one id.
"""

import banger
from banger.api import routes

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from banger.sdk.client import Client

SHORTEST_PREFIX = 2


def identities(client: "Client", references: "Sequence[str]") -> "Callable[[str], str]":
    """What tells the id that a reference stands for. It raises `errors.NotFound`, `errors.Ambiguous`.

    A reference that is alone stands for itself: the daemon looks it up where it begins the change.
    """
    if len(references) == 1:
        return str
    known = client.document(routes.VM_LIST)["vms"]
    return lambda reference: resolve(reference, known)


def resolve(reference: str, known: "Sequence[dict[str, Any]]") -> str:
    """The id of the machine in a list that the reference stands for."""
    for key in ("name", "id"):
        for each in known:
            if each[key] == reference:
                return str(each["id"])
    found = [each for each in known if each["id"].startswith(reference)] if len(reference) >= SHORTEST_PREFIX else []
    if not found:
        raise banger.errors.NotFound(kind="machine", name=reference)
    if len(found) > 1:
        candidates = ", ".join(f"{each['name']} ({each['id']})" for each in found[:6])
        raise banger.errors.Ambiguous(name=reference, candidates=candidates)
    return str(found[0]["id"])
