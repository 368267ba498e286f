"""A daemon under strace, and the judge of the order of what it did: on record, durable, then done.

Each line of the trace is a system call with its descriptors as paths. A task is on record as begun when its row is
written to the database's log as ``doing``, and durably so at the end of the next sync of that log which began after.
What a rename promises is durable before the log tells that its change has come further.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

CALLS = "fsync,fdatasync,pwrite64,mkdir,rename,renameat,renameat2,openat,unlink,unlinkat,rmdir,execve"
_LINE = re.compile(r"^(?P<pid>\d+) +(?P<call>\w+)\((?P<arguments>.*)$")
_RESUMED = re.compile(r"^(?P<pid>\d+) +<\.\.\. (?P<call>\w+) resumed>(?P<arguments>.*)$")
_RENAMED = re.compile(r'"(/[^"]*)"[^"]*"(/[^"]*)"')
_MACHINE = re.compile(r"(/[^\"<> ]*/vms)/([0-9a-f]{16})/")
LOG = "banger.db-wal"

RECORD, DISKS = "handles.json", ("disk.qcow2", "disk.raw", "work.ext4")
"""Files whose names promise their content; of the machine that a build makes for itself, the record alone."""


class Call(NamedTuple):
    """``begun`` and ``ended`` are lines of the trace."""

    name: str
    arguments: str
    begun: int
    ended: int

    def syncs(self, path: str) -> bool:
        return self.name in ("fsync", "fdatasync") and f"<{path}>" in self.arguments

    def logs(self, text: str) -> bool:
        """Whether it writes that to the database's log."""
        return self.name == "pwrite64" and LOG in self.arguments and text in self.arguments


def command(log: Path, argv: list[str]) -> list[str]:
    """``argv`` under strace."""
    options = ["-f", "--seccomp-bpf", "-y", "-qq", "-s", "20000", "-e", f"trace={CALLS}", "-e", "signal=none"]
    return ["strace", *options, "-o", str(log), *argv]


def calls(log: Path) -> list[Call]:
    """Every call that succeeded, in the order of its end."""
    begun: dict[str, tuple[str, int]] = {}
    found = []
    for number, line in enumerate(log.read_text(errors="replace").splitlines()):
        resumed, whole = _RESUMED.match(line), _LINE.match(line)
        if resumed is not None:
            arguments, first = begun.pop(resumed["pid"], ("", number))
            found.append(Call(resumed["call"], arguments + resumed["arguments"], first, number))
        elif whole is not None and line.endswith("<unfinished ...>"):
            begun[whole["pid"]] = (whole["arguments"].removesuffix("<unfinished ...>"), number)
        elif whole is not None:
            found.append(Call(whole["call"], whole["arguments"], number, number))
    return [each for each in found if ") = -1 E" not in each.arguments]


class Act(NamedTuple):
    """What a task does first: the first call with that text within a change of that kind. ``task`` is its class."""

    task: type
    kind: str
    name: str
    calls: tuple[str, ...]
    text: str


class Promise(NamedTuple):
    """A file that a task has synced before it is on record as done."""

    kind: str
    name: str
    file: str


class Change(NamedTuple):
    """One that the daemon has made, by the operation's id."""

    id: str
    kind: str


def judge(log: Path, changes: Sequence[Change], acts: Sequence[Act], promises: Sequence[Promise] = ()) -> list[str]:
    """What was done before it was on record, and what was renamed or promised before it was durable.

    ``changes`` are all that were made, one after another.
    """
    seen = calls(log)
    found = [*_second_records(seen)]
    done: set[Act | Promise] = set()
    for change, window in _windows(seen, changes):
        found += _renamed(window, change)
        for act in acts:
            if act.kind == change.kind and _on_record(window, change, act, "(planned|doing)") is not None:
                acted = next((each for each in window if each.name in act.calls and act.text in each.arguments), None)
                if acted is not None:
                    done.add(act)
                    found += _act(window, change, act, acted)
        for promise in promises:
            if promise.kind == change.kind and _on_record(window, change, promise, "doing") is not None:
                done.add(promise)
                found += _kept(window, change, promise)
    wanted: list[Act | Promise] = [*acts, *promises]
    return [*found, *(f"{each.kind}: {each.name} never did what it does" for each in wanted if each not in done)]


def _windows(seen: list[Call], changes: Sequence[Change]) -> Iterator[tuple[Change, list[Call]]]:
    """What was done from the first record of each change on, until that of the next."""
    begins = [next((at for at, call in enumerate(seen) if call.logs(each.id)), len(seen)) for each in changes]
    for change, begin, end in zip(changes, begins, [*begins[1:], len(seen)], strict=True):
        yield change, seen[begin:end]


def _act(window: list[Call], change: Change, act: Act, acted: Call) -> list[str]:
    recorded = _on_record(window, change, act, "doing")
    if recorded is None:
        return [f"{act.kind}: {act.name} was never on record"]
    synced = next((each for each in window if LOG in each.arguments and each.name in ("fsync", "fdatasync")
                   and each.begun > recorded.ended), None)  # fmt: skip
    if synced is None or acted.begun < synced.ended:
        return [f"{act.kind}: {act.name} acted ({acted.name}{acted.arguments[:200]}) before its record was durable"]
    return []


def _kept(window: list[Call], change: Change, promise: Promise) -> list[str]:
    begun, ended = (_on_record(window, change, promise, state) for state in ("doing", "done"))
    assert begun is not None
    for each in window:
        lasts = each.name == "fsync" and f"/{promise.file}>" in each.arguments and each.begun > begun.ended
        if lasts and (ended is None or each.ended < ended.begun):
            return []
    return [f"{promise.kind}: {promise.file} was not durable before {promise.name} was done"]


def _on_record(window: list[Call], change: Change, act: Act | Promise, state: str) -> Call | None:
    """The first write of the task's row in that state: the change's id, the position, the name and the state."""
    row = re.compile(rf"{change.id}.{{0,8}}{re.escape(act.name)}{state}")
    return next((each for each in window if each.logs(act.name) and row.search(each.arguments)), None)


def _renamed(window: list[Call], change: Change) -> list[str]:
    """The file durable before its rename, and the name before the log tells that the change has come further."""
    faults = []
    lasting = (RECORD, *DISKS) if change.kind.startswith("vm.") else (RECORD,)
    for at, call in enumerate(window):
        paths = _RENAMED.search(call.arguments) if call.name.startswith("rename") else None
        if paths is None or Path(paths[2]).name not in lasting:
            continue
        old, new = paths.groups()
        if not any(each.syncs(old) for each in window[:at]):
            faults.append(f"{old} was renamed before it was durable")
        after = next((each.ended for each in window[at:] if each.syncs(str(Path(new).parent))), None)
        told = next((each.begun for each in window[at:] if each.logs(change.id)), None)
        if after is None or (told is not None and told < after):
            faults.append(f"the name {new} was not durable when its change went on")
    return faults


def _second_records(seen: list[Call]) -> list[str]:
    """A machine's second record durable, with its directory's own name, before its disks and its monitor are made."""
    faults = []
    begun: dict[str, Call] = {}
    for call in seen:
        made = call.name == "openat" and "O_CREAT" in call.arguments
        disk = made and any(f"/{each}.new" in call.arguments for each in DISKS)
        monitor = call.name == "execve" and '"-initrd"' in call.arguments
        path = _MACHINE.search(call.arguments.partition('"-initrd"')[2] if monitor else call.arguments)
        if path is not None and (disk or monitor):
            begun.setdefault(f"{path[1]}/{path[2]}", call)
    for directory, call in begun.items():
        before = [each for each in seen if each.ended < call.begun]
        renamed = [at for at, each in enumerate(before) if f'"{directory}/{RECORD}"' in each.arguments]
        after = before[renamed[0] :] if renamed else []
        if not all(any(each.syncs(path) for each in after) for path in (directory, str(Path(directory).parent))):
            faults.append(f"the second record of {directory} was not durable before {call.arguments[:120]}")
    return faults
