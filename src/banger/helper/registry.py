"""Every operation by its name: the whole of what the helper does."""

from .operation import Operation
from .ping import Ping

OPERATIONS: tuple[type[Operation], ...] = (Ping,)
"""In the order of the documentation."""

BY_NAME: dict[str, type[Operation]] = {each.NAME: each for each in OPERATIONS}
