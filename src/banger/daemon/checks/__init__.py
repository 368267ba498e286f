"""Rows of the doctor that look at the host alone, by what they look at.

A row is a coroutine without arguments, or a function of the install record; it only reads, changes nothing, and needs
no more rights than the owner has.
"""

from typing import Literal

Found = tuple[Literal["pass", "warn", "fail"], str, str]
"""Status, detail, and how to mend it."""
