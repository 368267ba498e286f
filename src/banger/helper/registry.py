"""Every operation by its name: the whole of what the helper does."""

from .operation import Operation

OPERATIONS: tuple[type[Operation], ...] = ()
"""In the order of the documentation."""

BY_NAME: dict[str, type[Operation]] = {each.NAME: each for each in OPERATIONS}
