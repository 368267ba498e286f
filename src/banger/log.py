"""The daemon's log: one line an event, readable by people, with the operation's id where there is one.

    2026-01-31T12:00:00.123Z INFO  engine op=3f2a vm.start web: done (begin 1 ms, initrd 4 ms, monitor 30 ms)

Everything that a guest or an archive supplied passes through `printable` before it is logged or shown.
"""

import logging
import sys
import time

from banger.text import printable as printable


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        operation = getattr(record, "operation", None)
        tag = f" op={operation}" if operation else ""
        name = record.name.removeprefix("banger.")
        line = f"{stamp}.{int(record.msecs):03d}Z {record.levelname:<5} {name}{tag} {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def configure(level: str) -> None:
    """Log to stderr at ``level`` (debug, info, warning, error)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    root = logging.getLogger("banger")
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False
