"""The repository that ``vm run`` and ``vm workspace prepare`` take along: what is refused, listed and told of it."""

import stat

from banger import errors
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


place = workspace.place


def directory(what: Snapshot) -> str:
    """Where commands run in the machine: what PATH is there."""
    below = what.repository.below
    return f"{workspace.place(what)}/{below}" if below else workspace.place(what)


def bring(client: Client, vm: str, what: Snapshot, terminal: Terminal) -> None:
    """Import into a machine that has just been made, and say what stays behind."""
    workspace.send(client, vm, what)
    tell(what, terminal)


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
