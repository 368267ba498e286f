"""How long work tells how far it is, and what its user should know in passing."""

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""Called with the stage's name, the bytes done, and the bytes in all, None while that is not known."""

Notice = Callable[[str], None]
"""Called with a sentence."""


def silent(stage: str, done: int, total: int | None) -> None:
    """For callers who do not want to know."""


def unheard(text: str) -> None:
    """For callers whom nobody listens to."""
