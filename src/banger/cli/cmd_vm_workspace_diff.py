"""``banger vm workspace diff``: what was changed in a machine's workspace, for reading.

All of it is the guest's word: nothing reaches the terminal but text and the colours of this module. So it is no patch:
that is ``banger vm workspace export``.
"""

import re
from collections.abc import Sequence

from banger.cli import session
from banger.cli.cmd_vm_workspace_export import tell
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.sdk import export
from banger.sdk.client import Client
from banger.text import printable
from banger.workspace.patch import FileChange

STYLES = {"file": "bold", "meta": "bold", "hunk": "cyan", "added": "green", "removed": "red", "note": "dim"}
AT_ONCE = 500
"""Lines that are written together."""

WIDTH = 40
"""Of the bar of pluses and minuses at most."""

_OTHER = re.compile("[^\x20-\x7e\t]")


def run(arguments: Namespace, terminal: Terminal) -> int:
    held: list[str] = []

    def show(kind: str, line: bytes) -> None:
        held.append(terminal.paint(shown(line.removesuffix(b"\n")), STYLES.get(kind, "")))
        held.append("\n" if line.endswith(b"\n") else "")
        if len(held) > AT_ONCE:
            _write(held)

    with Client() as client:
        found = export.read(
            client,
            arguments.vm,
            base=arguments.base_commit,
            path=arguments.guest_path,
            show=None if arguments.stat else show,
            strict=False,
        )
    _write(held)
    if arguments.stat:
        for row in summary(found.files, terminal):
            terminal.print(row)
    tell(found, terminal)
    return 0


def _write(held: list[str]) -> None:
    session.write_all(session.STDOUT_FD, "".join(held).encode())
    held.clear()


def shown(line: bytes) -> str:
    """A line or a piece of one; what is neither text nor a tab is escaped."""
    return _OTHER.sub(_escaped, line.decode("utf-8", "backslashreplace"))


def _escaped(found: "re.Match[str]") -> str:
    character = found.group()
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def summary(files: Sequence[FileChange], terminal: Terminal) -> list[str]:
    """A line for each file: its name, how many lines of it changed, and a bar."""
    names = [_name(each) for each in files]
    width = max(map(len, names), default=0)
    most = max((each.added + each.removed for each in files), default=0)
    digits = len(str(most))
    rows = []
    for name, each in zip(names, files, strict=True):
        scale = min(1.0, WIDTH / most) if most else 1.0
        plus, minus = (-int(-count * scale // 1) for count in (each.added, each.removed))
        bar = terminal.paint("+" * plus, "green") + terminal.paint("-" * minus, "red")
        count = "binary" if each.binary else f"{each.added + each.removed:>{digits}} {bar}"
        rows.append(f"{each.status} {name.ljust(width)} | {count}".rstrip())
    return rows


def _name(change: FileChange) -> str:
    path = printable(change.path, 200)
    return path if change.source is None else f"{printable(change.source, 200)} => {path}"
