"""The helper's log: one JSON object a line on stderr, which systemd hands to the journal.

Lines are ASCII, at most `LONGEST` bytes a value and written at once, so that those of several processes never mix and
nothing that a caller sends can end a line or reach a terminal. Arguments are told by `Operation.describe`; contents of
files and messages of unforeseen exceptions, which may quote them, are not told at all.
"""

import contextlib
import json
import os

LONGEST = 300


def tell(**values: object) -> None:
    """One line."""
    cut = {name: value[:LONGEST] if isinstance(value, str) else value for name, value in values.items()}
    with contextlib.suppress(OSError):  # nobody reads: that is no reason to stop
        os.write(2, json.dumps(cut).encode() + b"\n")


def trace(error: BaseException) -> str:
    """Where an unforeseen exception came from: its kind and the innermost places, without its message."""
    places = []
    step = error.__traceback__
    while step is not None:
        places.append(f"{os.path.basename(step.tb_frame.f_code.co_filename)}:{step.tb_lineno}")
        step = step.tb_next
    return f"{type(error).__name__} at {' < '.join(reversed(places[-4:]))}"
