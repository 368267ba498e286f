"""Importing a repository of this host into a machine: the client's part, which reads it, decides what is to be sent and
sends it. What makes a repository an archive is in `banger.workspace`.
"""

import os
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from banger import errors
from banger.api.workspace import AskStates, Import, Workspace
from banger.paths import Paths
from banger.sdk import archive, export
from banger.sdk.client import Client
from banger.text import printable
from banger.workspace import bundle, edits, index, listing, plan, snapshot
from banger.workspace.listing import Listing
from banger.workspace.plan import Plan
from banger.workspace.snapshot import Snapshot

HOME = "/root"
"""Where repositories are in a machine: on its work disk."""

SHOWN = 10
"""Names that an error tells at most."""

INDEX_LIMIT = 256 << 20
COMPARED = 64 << 20
"""Bytes of a machine's file that are looked at, at least, to tell whether it is a change."""

KEPT = b".git/refs/banger/replaced-"
"""What a branch of the machine's was before it was overwritten."""


class Sent(NamedTuple):
    """How far an import is."""

    stage: str
    """What is being sent: ``files`` or ``history``."""
    done: int
    total: int
    """Bytes of that, on the wire: about as many as there will be."""


Watch = Callable[[Sent], object]


def prepare(
    client: Client,
    vm: str,
    path: str | None = None,
    *,
    untracked: bool | None = None,
    branch: str | None = None,
    start: str | None = None,
    overwrite: bool = False,
    watch: Watch | None = None,
) -> Workspace:
    """Import a repository into a machine that runs, or import again what has changed since.

    What is left out is as in the last import, if there was one of the same repository. ``overwrite``: what has changed
    here and in the machine becomes as it is here. ``watch`` is called as it is sent.

    Raises `errors.WorkspaceConflict`, `errors.WorkspaceBusy`, `errors.NoRepository`, `errors.NoWorkspace` (without
    ``path``), `errors.GuestDiskFull` and what `Client.vm_workspace` does.
    """
    found = client.vm_show(vm)
    last = found.workspace
    if path is None:
        if last is None:
            raise errors.NoWorkspace(name=found.name)
        path = last.source
    taken = again(path, last, untracked=untracked, branch=branch, start=start)
    return send(client, vm, taken, last, overwrite=overwrite, watch=watch)


def again(
    path: str,
    last: Workspace | None,
    *,
    untracked: bool | None = None,
    branch: str | None = None,
    start: str | None = None,
) -> Snapshot:
    """What there is to import, as in the last import where nothing else is said. Raises as `snapshot.take`."""
    same = last is not None and last.source == os.path.realpath(path)
    if last is not None and same:
        untracked = last.untracked if untracked is None else untracked
        if branch is None and start is None and last.start is not None:
            branch, start = last.branch, last.start
    return snapshot.take(path, untracked=bool(untracked), branch=branch, start=start)


def place(taken: Snapshot, last: Workspace | None = None) -> str:
    """Where the repository is in the machine."""
    if last is not None and last.source == taken.repository.top:
        return last.path
    return f"{HOME}/{taken.repository.name}"


def send(
    client: Client,
    vm: str,
    taken: Snapshot,
    last: Workspace | None = None,
    *,
    overwrite: bool = False,
    watch: Watch | None = None,
) -> Workspace:
    """Carry an import out. ``last`` is the workspace that the machine has by now. Raises as `prepare`."""
    return _Import(client, vm, taken, last, overwrite, watch).run()


class _Wanted(NamedTuple):
    """The machine's directory as it is to be."""

    files: Listing
    moved: "bundle.Moved | None"


class _Import:
    def __init__(
        self, client: Client, vm: str, taken: Snapshot, last: Workspace | None, overwrite: bool, watch: Watch | None
    ) -> None:
        self._client = client
        self._vm = vm
        self._taken = taken
        self._path = place(taken, last)
        self._base = last.id if last is not None else None
        self._last = last if last is not None and last.path == self._path else None
        self._overwrite = overwrite
        self._watch = watch
        self._files: dict[bytes, listing.Blob] | None = None

    def run(self) -> Workspace:
        fresh = self._is_nowhere()
        if fresh:
            self._last = None
        bases = self._bases()
        wanted = self._wanted(bases)
        made = plan.fresh(wanted.files) if fresh else self._plan(wanted, bases)
        if made.stuck or (made.conflicts and not self._overwrite):
            self._check_alone()
            raise self._conflict(made)
        files, moved = wanted
        if moved is not None and made.conflicts:
            files, moved = self._keep_commits(wanted, made.conflicts)
        gone = {name: base[name] for base in bases for name in made.remove if name in base}
        kept = {name: entry for base in bases for name, entry in base.items() if _of_git(name)}
        told = (listing.dump(gone) if gone else b"") + listing.dump({**kept, **files})
        source = self._taken.repository.top
        facts = Import(
            path=self._path,
            source=source,
            commit=self._taken.commit,
            branch=self._taken.branch,
            start=self._taken.start,
            untracked=self._taken.untracked,
            base=self._base,
        )
        top = os.fsencode(os.path.basename(self._path))
        room = os.path.join(Paths.from_environment().cache, "workspaces")
        meter = _Meter(self._watch)
        pieces = bundle.stream(self._taken, made, told, top, room, files, moved, meter.begin)
        done = self._client.vm_workspace(self._vm, facts, meter.count(pieces) if self._watch else pieces)
        edited = edits.edited(self._taken)
        if edited:
            sent = [name for name in (*made.send, *made.remove) if not _of_git(name)]
            export.mark(self._client, self._vm, done, self._last, sent if self._last is not None else edited)
        return done

    def _bases(self) -> list[Listing]:
        if self._last is None:
            return []
        known = listing.load(self._client.vm_workspace_listing(self._vm))
        return known[-1:] if self._last.complete else known

    def _wanted(self, bases: list[Listing]) -> _Wanted:
        """The state travels where HEAD has moved, or may not have arrived."""
        taken, last = self._taken, self._last
        base = bases[-1] if bases else {}
        files = taken.settle(base)
        if last is not None and last.complete and (last.commit, last.branch) == (taken.commit, taken.branch):
            return _Wanted(files, None)
        since = last.commit if last is not None and last.complete and not self._overwrite else None
        if since is not None and not self._known(since):
            since = None
        moved = bundle.moved(taken, files, since, first=last is None or not last.complete)
        return _Wanted(files | bundle.entries(moved), moved)

    def _known(self, commit: str) -> bool:
        return self._taken.repository.git.attempt("cat-file", "-e", f"{commit}^{{commit}}").status == 0

    def _plan(self, wanted: _Wanted, bases: list[Listing]) -> Plan:
        moved = wanted.moved.files if wanted.moved is not None else {}
        judged = [{name: entry for name, entry in base.items() if not _of_git(name) or name in moved} for base in bases]
        broken = self._last is not None and not self._last.complete

        def ask(names: list[bytes]) -> list[plan.State | None]:
            return self._states(self._path, names)

        return plan.make(wanted.files, judged, broken, ask, self._alike(wanted))

    def _is_nowhere(self) -> bool:
        """Whether the machine has nothing at the workspace's place, or no longer."""
        parent, name = os.path.split(self._path)
        return self._states(parent, [os.fsencode(name)]) == [None]

    def _states(self, path: str, names: list[bytes]) -> "list[plan.State | None]":
        try:
            return list(self._client.vm_states(self._vm, AskStates(path=path, names=names)).states)
        except errors.GuestRefused as refused:
            if "knows no operation" in refused.message:
                refused.advise(f"an agent of an earlier banger: 'banger vm restart {self._vm}' brings today's")
            raise

    def _alike(self, wanted: _Wanted) -> plan.Alike:
        """Whether a file or link in the machine is what it is to become, or in the last import's commit."""

        moved = wanted.moved.files if wanted.moved is not None else {}

        def alike(name: bytes, state: plan.State) -> bool:
            if name == bundle.INDEX:
                return self._unstaged()
            entry = wanted.files.get(name)
            there, mode = self._fetch(name, max(COMPARED, entry.size if entry else 0)), index.kind(state.mode)
            if there is None:
                return False
            if entry is not None and mode == index.kind(entry.mode):
                ours = moved[name] if name in moved else snapshot.content(self._taken, name)
                if there == ours:
                    return True
            return self._is_committed(name, mode, there)

        return alike

    def _is_committed(self, name: bytes, mode: int, there: bytes) -> bool:
        """Whether the last import's commit has this very file, so that overwriting it loses nothing."""
        return self._committed().get(name) == (mode, index.blob_id(there, self._taken.repository.format))

    def _committed(self) -> "dict[bytes, listing.Blob]":
        if self._files is None:
            last = self._last.commit if self._last is not None else None
            there = last is not None and self._known(last)
            self._files = listing.committed(self._taken.repository, last) if last is not None and there else {}
        return self._files

    def _unstaged(self) -> bool:
        """Whether the index in the machine is the last import's commit, whatever git noted in it besides."""
        there = index.load(self._fetch(bundle.INDEX, INDEX_LIMIT) or b"", self._taken.repository.format)
        return bool(there) and there == self._committed()

    def _fetch(self, name: bytes, limit: int) -> bytes | None:
        """A file of the machine's, or a link's target; None for one that is larger, and for anything else."""
        try:
            reply = self._client.vm_get(self._vm, os.path.join(self._path, name.decode()))
        except (UnicodeDecodeError, errors.GuestRefused, errors.NotFound):
            return None  # it cannot be asked for, or is gone by now
        with reply:
            reader = archive.Reader(reply.chunks())
            entry = reader.next_entry()
            if entry is None or entry.size > limit:
                return None
            if entry.type == tarfile.SYMTYPE:
                return os.fsencode(entry.linkname)
            return b"".join(reader.data(entry)) if entry.type == tarfile.REGTYPE else None

    def _keep_commits(self, wanted: _Wanted, conflicts: list[bytes]) -> _Wanted:
        """A branch of the machine's that is overwritten keeps its commits under another name."""
        files, moved = wanted
        assert moved is not None
        extra = {}
        for name in conflicts:
            if name.startswith(b".git/refs/heads/") and name in moved.files:
                there = self._fetch(name, 100) or b""
                if there.strip().isalnum() and len(there.strip()) in (40, 64):
                    extra[KEPT + b"%d" % int(time.time())] = there
        more = bundle.Moved({**moved.files, **extra}, moved.since, moved.shallow)
        return _Wanted(bundle.entries(more) | files, more)

    def _check_alone(self) -> None:
        """What looks like a conflict may be another import's work. Raises `errors.WorkspaceBusy`."""
        now = self._client.vm_show(self._vm).workspace
        if (now.id if now is not None else None) != self._base:
            raise errors.WorkspaceBusy(name=self._vm)

    def _conflict(self, made: Plan) -> errors.WorkspaceConflict:
        names = [*made.stuck, *made.conflicts]
        told = [_called(name) for name in names[:SHOWN]]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        failed = errors.WorkspaceConflict(name=self._vm, count=len(names), paths=", ".join(told) + more)
        if made.stuck:
            failed.advise(f"{_called(made.stuck[0])} is a directory in the machine and a file here: remove it there")
        return failed


class _Meter:
    """Counts what has been taken of a stream, stage by stage."""

    def __init__(self, watch: Watch | None) -> None:
        self._watch = watch
        self._now = Sent("files", 0, 0)

    def begin(self, stage: str, total: int) -> None:
        self._now = Sent(stage, 0, total)

    def count(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            stage, done, total = self._now
            self._now = Sent(stage, min(done + len(piece), total), total)
            if self._watch is not None:
                self._watch(self._now)


def _of_git(name: bytes) -> bool:
    return name.startswith(b".git/")


def _called(name: bytes) -> str:
    """A name as a person knows it."""
    if name == bundle.HEAD:
        return "HEAD (another branch is checked out there)"
    if name == bundle.INDEX:
        return "the index (something is staged there)"
    if name.startswith(b".git/refs/heads/"):
        return f"branch {printable(name.removeprefix(b'.git/refs/heads/'))} (commits were made there)"
    return printable(name)
