"""Events: what changes, as it changes."""

from typing import Literal

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A machine has come to another state, or an operation has begun or ended.

    ``lost`` is told instead of ``count`` events to a reader who did not keep up. Nothing is told twice or kept: who
    wants to know what is there reads the events first and looks then.
    """

    kind: Literal["machine", "operation", "lost"]
    time: float
    name: str = ""
    """Of the machine, or of the operation's subject."""
    id: str = ""
    state: str = ""
    """A machine's, or ``deleted``; an operation's (``running`` when it begins)."""
    change: str = ""
    """What the operation does: ``vm.create``, ``image.pull``."""
    reason: str = ""
    """Why a machine stopped, or why an operation failed."""
    count: int = 0
