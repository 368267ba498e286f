"""The repository that ``vm run`` and ``vm workspace prepare`` take along: what is refused, listed and told of it."""

import contextlib
import stat
import time
from collections.abc import Iterator

from banger import errors
from banger.cli.durations import format_duration
from banger.cli.progress import bar
from banger.cli.terminal import Terminal, cell
from banger.cli.verb import Namespace
from banger.config.sizes import format_size
from banger.sdk import workspace
from banger.sdk.client import Client
from banger.workspace import snapshot
from banger.workspace.snapshot import Snapshot


def taken(arguments: Namespace) -> Snapshot:
    """What ``vm run PATH`` imports. Raises, before anything is made, whatever is wrong with it."""
    try:
        return snapshot.take(
            arguments.path,
            untracked=arguments.include_untracked,
            branch=arguments.branch,
            start=getattr(arguments, "from"),
        )
    except errors.NoSuchPath as missing:
        missing.advise("PATH is a directory; a command comes behind '--', as in 'banger run . -- make test'")
        raise


REDRAWN = 0.1
"""Seconds between two looks of a line."""

place = workspace.place


def directory(what: Snapshot) -> str:
    """Where commands run in the machine: what PATH is there."""
    below = what.repository.below
    return f"{workspace.place(what)}/{below}" if below else workspace.place(what)


def bring(client: Client, vm: str, what: Snapshot, terminal: Terminal) -> None:
    """Import into a machine that has just been made, and say what stays behind."""
    with watched(vm, terminal) as watch:
        workspace.send(client, vm, what, watch=watch)
    tell(what, terminal)


@contextlib.contextmanager
def watched(vm: str, terminal: Terminal) -> "Iterator[workspace.Watch | None]":
    """What shows how far an import into a machine is, in a line on a terminal; there is none elsewhere."""
    if not terminal.live:
        yield None
        return
    began, shown = time.monotonic(), 0.0
    terminal.rewrite(f"{cell(vm)}: importing")

    def show(sent: workspace.Sent) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= REDRAWN or sent.done == sent.total:
            shown = now
            far = bar({"unit": "bytes", "done": sent.done, "total": sent.total})
            terminal.rewrite(f"{cell(vm)}: importing the {sent.stage}{far}  {format_duration(now - began)}")

    try:
        yield show
    finally:
        terminal.clear()


def tell(what: Snapshot, terminal: Terminal) -> None:
    """Say how many files stay behind."""
    if what.left:
        files = "1 untracked file stays" if what.left == 1 else f"{what.left} untracked files stay"
        terminal.say(f"{files} behind; --include-untracked takes them along", "dim")


def show(what: Snapshot, path: str, as_json: bool, terminal: Terminal) -> None:
    """List what an import would bring."""
    if as_json:
        terminal.document(
            {
                "source": what.repository.top,
                "path": path,
                "commit": what.commit,
                "branch": what.branch,
                "untracked_left": what.left,
                "files": [
                    {
                        "path": name.decode("utf-8", "backslashreplace"),
                        "kind": "link" if stat.S_ISLNK(entry.mode) else "file",
                        "executable": not stat.S_ISLNK(entry.mode) and bool(entry.mode & 0o100),
                        "size": entry.size,
                    }
                    for name, entry in sorted(what.files.items())
                ],
            }
        )
        return
    for name in sorted(what.files):
        terminal.print(cell(name.decode("utf-8", "backslashreplace")))
    total = format_size(sum(entry.size for entry in what.files.values()))
    at = f"{what.branch or 'detached'} at {what.commit[:12]}" if what.commit else "no commits"
    count = "1 file" if len(what.files) == 1 else f"{len(what.files)} files"
    terminal.say(f"{count}, {total}, of {cell(what.repository.top)} ({cell(at)}) would be in {cell(path)}")
    tell(what, terminal)
