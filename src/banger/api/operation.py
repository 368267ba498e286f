"""Operations: changes under way or ended, with their stages, and the body of every failure."""

from typing import Literal

import msgspec

State = Literal["running", "undoing", "done", "failed", "cancelled"]


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """A failure as it crosses the wire; `banger.errors` is the table of codes."""

    code: str
    message: str
    hint: str = ""
    data: dict[str, str | int | float | bool | list[str] | None] = {}
    operation: str | None = None


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One step of an operation and how long it took; the steps of an operation follow one another without gaps."""

    name: str
    seconds: float


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the current step is; ``total`` is None where it cannot be known."""

    done: int
    total: int | None = None
    unit: Literal["bytes", "items"] = "bytes"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A change: what it does to what, where it is, how it ended."""

    id: str
    kind: str
    """A noun and a verb: ``vm.create``, ``image.pull``."""
    subject: str
    """The name of what is changed."""
    subject_id: str | None = None
    state: State
    step: str = ""
    """The name of the current step; its phase has the same."""
    stage: str = ""
    """What the step is at, in words; empty where it has not said."""
    progress: Progress | None = None
    notices: list[str] = []
    """What the user should know in passing: an image that had to be pulled first, say."""
    result: dict[str, int | str] = {}
    """What it came to, for changes whose outcome is a number or a word."""
    phases: list[Phase] = []
    started: float
    finished: float | None = None
    error: ErrorBody | None = None

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed", "cancelled")
