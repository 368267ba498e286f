"""``banger vm session send``: write to a session's stdin."""

import os
import sys

import banger
from banger import document
from banger.api import routes
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Iterator

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

PIECE = 64 << 10


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    if (arguments.text is None) == (arguments.file is None) and not (arguments.eof or arguments.newline):
        raise banger.errors.UsageError(detail="say what to send: TEXT, --file, --newline or --eof")
    if arguments.text is not None and arguments.file is not None:
        raise banger.errors.UsageError(detail="send either TEXT or --file")
    query = {"eof": "true"} if arguments.eof else {}
    query |= {"timeout": f"{arguments.timeout:.3f}"} if arguments.timeout else {}
    where = (arguments.vm, arguments.session)
    with Client() as client:
        reply = client.open(routes.VM_SESSION_SEND, where, body=_data(arguments), query=query, quiet=True)
        sent = document.loads(reply.read())
    if arguments.json:
        terminal.document(sent)
    return 0


def _data(arguments: "Namespace") -> "Iterator[bytes]":
    """What is to be sent, in pieces."""
    if arguments.text is not None:
        yield os.fsencode(arguments.text)
    elif arguments.file is not None:
        yield from _file(arguments.file)
    if arguments.newline:
        yield b"\n"


def _file(path: str) -> "Iterator[bytes]":
    try:
        with open(sys.stdin.fileno() if path == "-" else path, "rb", buffering=0, closefd=path != "-") as file:
            while data := file.read(PIECE):
                yield data
    except FileNotFoundError:
        raise banger.errors.NoSuchPath(path=path, kind="file") from None
    except OSError as error:
        raise banger.errors.from_os(error, path) from None
