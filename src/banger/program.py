"""A program of ours that the command becomes: its only argument is a request as JSON, and it needs no daemon.

A failure is told on stderr in the form of the command's. SIGTERM ends it as Ctrl-C does, with everything taken back.
"""

import signal
import sys
from collections.abc import Callable
from typing import TypeVar

import msgspec

from banger import errors
from banger.log import printable

INTERRUPTED = 128 + 2

Asked = TypeVar("Asked")
Done = TypeVar("Done")


def run(kind: type[Asked], work: Callable[[Asked], Done], tell: Callable[[Asked, Done], None]) -> int:
    """The whole of a program: its request, the work, what is said of it on stdout, and the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        request = msgspec.json.decode(sys.argv[1], type=kind)
        done = work(request)
    except errors.BangerError as error:
        print(f"banger: {printable(error.message, 2000)}", file=sys.stderr)
        if error.advice:
            print(f"  {printable(error.advice, 2000)}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    tell(request, done)
    return 0
