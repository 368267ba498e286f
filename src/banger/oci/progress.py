"""How long work tells how far it is, and what its user should know in passing."""

from collections.abc import Callable

from banger.serving import Progress

__all__ = ["Notice", "Progress", "silent", "unheard"]


Notice = Callable[[str], None]
"""Called with a sentence."""


def silent(stage: str, done: int, total: int | None) -> None:
    """For callers who do not want to know."""


def unheard(text: str) -> None:
    """For callers whom nobody listens to."""
