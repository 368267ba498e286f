"""``banger vm workspace export``: what was changed in a machine's workspace, as a patch."""

import base64
import os
import tempfile

from banger import errors
from banger.cli import session
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.sdk import export
from banger.sdk.client import Client
from banger.sdk.export import Patch
from banger.text import printable
from banger.workspace.patch import FileChange

INLINE_LIMIT = 16 << 20
"""Bytes of a patch that a JSON document holds."""


def run(arguments: Namespace, terminal: Terminal) -> int:
    if not arguments.output and not arguments.json and os.isatty(session.STDOUT_FD):
        detail = "a patch is not for a terminal: send stdout somewhere, or see 'banger vm workspace diff'"
        raise errors.UsageError(detail=detail)
    base, path = arguments.base_commit, arguments.guest_path
    with Client() as client:
        if arguments.output:
            found = export.save(client, arguments.vm, arguments.output, base=base, path=path)
        elif arguments.json:
            found = export.text(client, arguments.vm, base=base, path=path)
            if found.size > INLINE_LIMIT:
                raise errors.UsageError(detail=f"the patch has {found.size} bytes; --output writes it to a file")
        else:
            found = _print(client, arguments.vm, base, path)
    tell(found, terminal)
    if arguments.json:
        terminal.document(_document(arguments.vm, found, arguments.output))
    return 0


def _print(client: Client, vm: str, base: str | None, path: str | None) -> Patch:
    """The patch on stdout, of which nothing is there before it has been judged."""
    with tempfile.TemporaryFile() as spool:
        try:
            found = export.read(client, vm, base=base, path=path, keep=spool.write)
            spool.seek(0)
        except OSError as error:
            raise errors.from_os(error, tempfile.gettempdir()) from error
        while piece := spool.read(1 << 20):
            session.write_all(session.STDOUT_FD, piece)
    return found


def tell(found: Patch, terminal: Terminal) -> None:
    """In prose: how much, since when, and what to look at first."""
    count = len(found.files)
    files = "nothing" if not count else f"{count} file{'s' * (count != 1)}"
    terminal.say(f"{files} changed since {found.base[:12]}")
    for path in found.left_out:
        terminal.say(f"left out: {printable(path, 200)} is a repository of its own", "yellow")
    if found.cautions:
        terminal.say("look at these before you apply it:", "yellow")
    for caution in found.cautions:
        terminal.say(f"  {printable(caution.path, 200)}: {caution.reason}", "yellow")


def _document(vm: str, found: Patch, output: "str | None") -> "dict[str, object]":
    document: dict[str, object] = {
        "vm": vm,
        "base": found.base,
        "files": [_file(each) for each in found.files],
        "bytes": found.size,
        "cautions": [{"path": _text(path), "reason": reason} for path, reason in found.cautions],
        "left_out": [_text(each) for each in found.left_out],
        "output": os.path.abspath(output) if output else None,
        "patch": None,
        "patch_base64": None,
    }
    if found.content is not None:
        try:
            document["patch"] = found.content.decode()
        except UnicodeDecodeError:
            document["patch_base64"] = base64.b64encode(found.content).decode()
    return document


def _file(change: FileChange) -> "dict[str, object]":
    return {
        "status": change.status,
        "path": _text(change.path),
        "source": None if change.source is None else _text(change.source),
        "mode": change.mode,
        "binary": change.binary,
        "added": change.added,
        "removed": change.removed,
    }


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
