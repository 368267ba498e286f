"""A daemon under strace, and the judge of the order of what it did: on record, durable, then done.

Each line of the trace is a system call with its descriptors as paths. A commit is the last write to the database's log
before its fsync; what it says can be read in the data that is written, which holds the change's document.
"""

import re
from pathlib import Path
from typing import NamedTuple

CALLS = "fsync,fdatasync,pwrite64,mkdir,rename,renameat,renameat2,openat,unlink,unlinkat,rmdir,execve"
_LINE = re.compile(r"^(?P<pid>\d+) +(?P<call>\w+)\((?P<arguments>.*)$")
_RESUMED = re.compile(r"^(?P<pid>\d+) +<\.\.\. (?P<call>\w+) resumed>(?P<arguments>.*)$")


class Call(NamedTuple):
    name: str
    arguments: str


def command(log: Path, argv: list[str]) -> list[str]:
    """``argv`` under strace."""
    return [
        "strace",
        "-f",
        "-y",
        "-qq",
        "-s",
        "20000",
        "-e",
        f"trace={CALLS}",
        "-e",
        "signal=none",
        "-o",
        str(log),
        *argv,
    ]


def calls(log: Path) -> list[Call]:
    """Every call in the order of its end: one that was interrupted in the log counts where it was resumed."""
    begun: dict[str, str] = {}
    found = []
    for line in log.read_text(errors="replace").splitlines():
        resumed, whole = _RESUMED.match(line), _LINE.match(line)
        if resumed is not None:
            found.append(Call(resumed["call"], begun.pop(resumed["pid"], "") + resumed["arguments"]))
        elif whole is not None and line.endswith("<unfinished ...>"):
            begun[whole["pid"]] = whole["arguments"].removesuffix("<unfinished ...>")
        elif whole is not None:
            found.append(Call(whole["call"], whole["arguments"]))
    return found


class Act(NamedTuple):
    """The first call with that text is what a task does first."""

    kind: str
    task: str
    calls: tuple[str, ...]
    text: str


def judge(log: Path, acts: list[Act]) -> list[str]:
    """What was done before it was on record, and what was renamed or promised before it was durable."""
    seen = calls(log)
    faults = [fault for act in acts for fault in _act(seen, act)]
    return [*faults, *_renamed(seen)]


def _act(seen: list[Call], act: Act) -> list[str]:
    began = f'\\"kind\\":\\"{act.kind}\\"'
    recorded = [
        at for at, call in enumerate(seen)
        if call.name == "pwrite64" and "banger.db-wal" in call.arguments
        and began in call.arguments and f'\\"step\\":\\"{act.task}\\"' in call.arguments
    ]  # fmt: skip
    if not recorded:
        return [f"{act.kind}: {act.task} was never on record"]
    synced = next(
        (at for at in range(recorded[0], len(seen)) if seen[at].name in ("fsync", "fdatasync")
         and "banger.db-wal" in seen[at].arguments), len(seen),
    )  # fmt: skip
    acted = [at for at, call in enumerate(seen) if call.name in act.calls and act.text in call.arguments]
    if not acted:
        return [f"{act.kind}: {act.task} never did what it does"]
    if acted[0] < synced:
        return [f"{act.kind}: {act.task} acted ({seen[acted[0]]}) before its record was durable"]
    return []


def _renamed(seen: list[Call]) -> list[str]:
    """Records beside a machine or an image: the file durable before its rename, the directory after it."""
    faults = []
    for at, call in enumerate(seen):
        paths = re.findall(r'"(/[^"]*)"', call.arguments)
        if not call.name.startswith("rename") or len(paths) != 2 or not paths[1].endswith("handles.json"):
            continue
        before = [each for each in seen[:at] if each.name == "fsync" and f"<{paths[0]}>" in each.arguments]
        after = [each for each in seen[at:] if each.name == "fsync" and f"<{Path(paths[1]).parent}>" in each.arguments]
        if not before:
            faults.append(f"{paths[0]} was renamed before it was durable")
        if not after:
            faults.append(f"the name {paths[1]} is not durable")
    return faults
