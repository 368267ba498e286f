"""Run in the box, as root, by test_attack: the installed helper under attack by its owner's account, and a witness.

``attack_scene RECORD COUNT SEED`` prints one JSON object: what strace saw the helper do, what of the host changed, and
how the helper fared. The attacker is `tests.security.helper_attacker`, a process of the owner's; the helper is the one
that systemd has started, as it is.
"""

import contextlib
import json
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from banger.helper.host import Host, load
from tests.security.helper_attacker import OUTSIDE
from tests.security.helper_witness import TRACED, Judge, allowed

UNIT = "bangerd-root.service"
HELPER = "/usr/local/lib/banger/bangerd-root.pyz"
PLACES = ("/boot", "/etc", "/home", "/opt", "/root", "/srv", "/usr")
"""What belongs to the host, and not to banger alone."""

WARM = 40
"""Requests after which the helper has all that it keeps."""


class Witness:
    """strace, attached to a helper that runs, and the judge of what it sees in a thread."""

    def __init__(self, host: Host, pid: int) -> None:
        self.judge = Judge(allowed(host, read=(HELPER, sys.argv[1]), forbidden=(OUTSIDE,), started=STARTED))
        reader, writer = os.pipe()
        argv = ["strace", "-qq", "-f", "--decode-fds=path,pidfd", "-s", "64", "-e", "signal=none"]
        argv += ["-e", f"trace={','.join(TRACED)}", "-o", f"/proc/self/fd/{writer}", "-p", str(pid)]
        self._strace = subprocess.Popen(argv, pass_fds=[writer])
        os.close(writer)
        self._thread = threading.Thread(target=self._watch, args=(reader,))
        self._thread.start()
        deadline = time.monotonic() + 30
        while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
            assert time.monotonic() < deadline, "strace is not attached"
            time.sleep(0.05)

    def _watch(self, reader: int) -> None:
        with open(reader, encoding="utf-8", errors="replace") as lines:
            self.judge.feed(lines)

    def end(self) -> None:
        self._strace.send_signal(signal.SIGINT)
        self._strace.wait(60)
        self._thread.join(120)


STARTED = ("firecracker", "jailer")


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Files of root's, where the attacker's links lead."""
    inner = Path(OUTSIDE, "inner")
    inner.mkdir(parents=True)
    for path in (inner.with_name("secret"), inner / "disk"):
        path.write_text("root's")
    try:
        yield
    finally:
        subprocess.run(["rm", "-r", OUTSIDE], check=True)


def attacked(host: Host, count: int, seed: int, *more: str) -> dict[str, Any]:
    """One attack to its end; what came of it, by the attacker's account."""
    argv = [sys.executable, "-m", "tests.security.helper_attacker", sys.argv[1], str(count), str(seed), *more]
    done = subprocess.run(argv, user=host.owner_uid, group=host.owner_gid, extra_groups=[], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main_pid() -> int:
    shown = subprocess.run(["systemctl", "show", "-P", "MainPID", UNIT], capture_output=True, check=True)
    return int(shown.stdout)


def memory() -> int:
    """KiB that the unit has to itself; the least of a few readings, since requests are processes that end."""
    path = Path("/sys/fs/cgroup/system.slice", UNIT, "memory.stat")
    readings = []
    for _ in range(10):
        readings += [int(line.split()[1]) >> 10 for line in path.read_text().splitlines() if line.startswith("anon ")]
        time.sleep(0.1)
    return min(readings)


def files() -> dict[str, str]:
    """What changes with a file's content, owner, mode or place."""
    found = {}
    for place in PLACES:
        for directory, folders, names in os.walk(place):
            for name in (*folders, *names):
                path = os.path.join(directory, name)
                status = os.lstat(path)
                found[path] = f"{status.st_ino} {status.st_size} {status.st_ctime_ns}"
    return found


def main() -> None:
    host, count, seed = load(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    pid, begun = main_pid(), time.time()
    with outside():
        before = files()
        witness = Witness(host, pid)
        try:
            first = attacked(host, WARM, seed, "gates")
            lean = memory()
            found = attacked(host, count, seed + 1)
            grown = memory() - lean
        finally:
            witness.end()
        after = files()
    logged = subprocess.run(
        ["journalctl", "--output=cat", f"--since=@{begun:.0f}", f"--unit={UNIT}"], capture_output=True
    )
    lines = logged.stdout.decode().splitlines()
    report = {
        "violations": witness.judge.violations[:20],
        "calls": witness.judge.calls,
        "programs": witness.judge.programs,
        "changed": sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path)),
        "crashes": [line for line in lines if '"crashed"' in line][:10],
        "unperformed": (first["unperformed"] + found["unperformed"])[:10],
        "answers": found["answers"],
        "valid": found["valid"],
        "lives": first["lives"] + found["lives"],
        "gates": {name: len(rows) for name, rows in first["gates"].items()},
        "open": [row for rows in first["gates"].values() for row in rows if row[-1]],
        "same": main_pid() == pid,
        "grown": grown,
        "memory": lean,
        "seconds": round(time.time() - begun),
        "owner": pwd.getpwuid(host.owner_uid).pw_name,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
