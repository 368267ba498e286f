"""Verbs that need no daemon but the floors below: this process becomes the program of the floor that knows how.

The command itself imports nothing of it, and stdin, the terminal's signals and the exit status are the program's own.
"""

import json
import os
import sys
from collections.abc import Mapping

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import NoReturn


def become(module: str, request: Mapping[str, object]) -> "NoReturn":
    """Run ``module`` with its request in the place of this process."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, json.dumps(request)])  # noqa: S606
