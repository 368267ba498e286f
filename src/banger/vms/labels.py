"""Labels: what an owner notes about machines, and finds them by. banger itself reads nothing into them.

A key is up to 63 letters, digits and ``. _ / -``, and begins and ends with a letter or digit. A value is printable
text of at most 256 characters, and may be empty.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from banger import errors

LIMIT = 64
"""Most labels of one machine."""

VALUE_LIMIT = 256
_KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")


def check(labels: Mapping[str, str]) -> Mapping[str, str]:
    """``labels`` itself. Raises `errors.UsageError`."""
    for key, value in labels.items():
        _check_key(key)
        if len(value) > VALUE_LIMIT or not value.isprintable():
            raise errors.UsageError(
                detail=f"the value of the label {key} is not printable text of at most {VALUE_LIMIT} characters"
            )
    if len(labels) > LIMIT:
        raise errors.UsageError(detail=f"a machine has at most {LIMIT} labels, not {len(labels)}")
    return labels


def selector(wanted: Sequence[str]) -> Callable[[Mapping[str, str]], bool]:
    """Whether labels fulfil all of ``wanted``, each ``KEY=VALUE`` or ``KEY``. Raises `errors.UsageError`."""
    parts = [each.partition("=") for each in wanted]
    for key, _, _ in parts:
        _check_key(key)

    def fulfilled(labels: Mapping[str, str]) -> bool:
        return all(key in labels and (not equals or labels[key] == value) for key, equals, value in parts)

    return fulfilled


def _check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise errors.UsageError(
            detail=f"{key[:80]!r} is not a label's key: letters, digits and ._/- between them, at most 63"
        )
