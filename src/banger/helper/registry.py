"""Every operation by its name: the whole of what the helper does."""

from .bridge import Bridge
from .operation import Operation
from .resolver import Resolver
from .rules import Rules
from .tap import Tap

OPERATIONS: tuple[type[Operation], ...] = (Bridge, Tap, Rules, Resolver)
"""In the order of the documentation."""

BY_NAME: dict[str, type[Operation]] = {each.NAME: each for each in OPERATIONS}
