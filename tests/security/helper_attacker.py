"""What somebody who has taken over the owner's account does to the helper: sends requests, and changes files.

It has a machine of its own among those requests (`helper_machines`), and may try the gates by hand first
(`helper_gates`).

Also a program, for a host with an installation: ``helper_attacker RECORD COUNT SEED [gates]``, as the owner, prints
what came of it. Of machines that are there already it knows the processes and the slots; whatever the operations let
the owner do to the network, it does.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from banger.helper import protocol
from banger.helper.host import Host, load
from banger.helper.process import start_ticks
from banger.helper.snapshot import layout
from tests.security.helper_gates import tried
from tests.security.helper_machines import DISK, LARGER, Asked, Busy, OwnMachine, Unperformed
from tests.security.helper_requests import VM_IDS, Request, Requests, framed

OUTSIDE = "/srv/outside"
SIZE = 1 << 20
PATIENCE = 120.0
SHARED = ("bridge.ensure", "rules.apply")
"""What works on the one bridge: another request may take it away at that moment, and then it fails."""
LISTS = ("disk.list", "machine.list")
LIFE = 150
"""Requests between two lives of the attacker's own machine."""
PING = {"operation": "helper.ping"}


class Attacker:
    """One account that sends requests, and what came of them."""

    def __init__(self, host: Host, seed: int, known: dict[str, Any], opened: Mapping[str, int]) -> None:
        self._host = host
        self._known = known
        self._opened = opened
        self.own = OwnMachine(self._asked, host, known, seed)
        self._pools = dict(pools(host, known))
        self._requests = Requests(seed, self._pools, valid_requests(known))
        self.answers: Counter[str] = Counter(dict.fromkeys(("values", "refused", "failed", "nothing"), 0))
        self.performed: set[str] = set()
        self.unperformed: list[str] = []
        self.lives = 0

    def attack(self, count: int) -> None:
        """Send ``count`` requests and, at the end, a ping; now and then live a life."""
        for number in range(count):
            if number % LIFE == 0:
                self.live()
            self._send(self._requests.next())
        self._send(Request(protocol.frame(PING), (), "helper.ping"))

    def live(self) -> None:
        """A life of the own machine, which is named by what follows."""
        try:
            self.own.live()
            self.lives += 1
        except Busy:
            pass
        except Unperformed as failure:
            self.unperformed.append(str(failure))
        strangers = [(pid, start_ticks(pid) or 0) for pid in self._known["pids"]]
        own = self.own.process
        self._pools["process"] = [*[own] * (1 + len(strangers) // 2), *strangers]
        for name, values in named(self.own).items():
            self._pools[name] = [*values, *pools(self._host, self._known).get(name, ())]

    def gates(self) -> dict[str, list[list[str]]]:
        """How the requests written by hand are answered, while the own machine lives."""
        self.live()
        return tried(self._asked, self._host, self._known, self.own)

    def _asked(self, request: Mapping[str, Any], kinds: Sequence[str]) -> Asked:
        reply, received = exchanged(self._host.socket, Request(framed(request), tuple(kinds)), self._opened)
        self.answers[next(iter(reply))] += 1
        return reply, received

    def _send(self, request: Request) -> None:
        reply = exchange(self._host.socket, request, self._opened)
        self.answers[next(iter(reply))] += 1
        if request.valid and "values" in reply:
            self.performed.add(request.valid)
        elif request.valid and not reply.get("busy") and not ("failed" in reply and request.valid in SHARED):
            self.unperformed.append(f"{request.valid}: {reply}")


def named(own: OwnMachine) -> dict[str, list[Any]]:
    """What names an attacker's own machine, by field."""
    pid, ticks = own.process
    return {
        "vm_id": [own.vm_id],
        "pid": [pid],
        "start_ticks": [ticks],
        "slot": [own.slot],
        "kernel": [own.launch.kernel],
    }


def attack(host: Host, seed: int, count: int, known: dict[str, Any], *, gates: bool = False) -> dict[str, Any]:
    """What came of ``count`` requests; with ``gates`` also of those written by hand, which come first."""
    with descriptors(known["files"]) as opened:
        attacker = Attacker(host, seed, known, opened)
        try:
            tried = attacker.gates() if gates else {}
            attacker.attack(count)
        finally:
            answers = dict(attacker.answers)
            attacker.own.end()
    return {
        "answers": answers,
        "valid": sorted(attacker.performed | attacker.own.performed),
        "unperformed": attacker.unperformed,
        "lives": attacker.lives,
        "ended": attacker.own.ended,
        "gates": tried,
    }


def make_files(directory: Path) -> dict[str, str]:
    """The owner's own files, and what an owner can make that leads elsewhere; the digests of those to be stored."""
    for each in (directory, directory / "vms", directory / "race", directory / "race" / "inner"):
        each.mkdir()
    stored = {name: name.encode() * 1000 for name in ("kernel", "boot")}
    for name, content in stored.items():
        (directory / name).write_bytes(content)
    (directory / "short").write_bytes(bytes(511))
    for name in ("own-base", "own-raw"):
        argv = ["/sbin/mke2fs", "-q", "-t", "ext4", str(directory / name), f"{DISK >> 10}k"]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
    for name, head in (("own-overlay", b""), ("own-junk", b"junk")):
        (directory / name).write_bytes(head)
        os.truncate(directory / name, layout(DISK, LARGER).file)
    for name in ("base", "disk", "overlay", "new\nline", "race/inner/disk"):
        with open(directory / name, "wb") as file:
            file.truncate(layout(SIZE, 2 * SIZE).file if name == "overlay" else SIZE)
    os.mkfifo(directory / "fifo")
    (directory / "link").symlink_to(f"{OUTSIDE}/secret")
    (directory / "directory-link").symlink_to(OUTSIDE)
    return {name: hashlib.sha256(content).hexdigest() for name, content in stored.items()}


def exchange(path: str, request: Request, opened: Mapping[str, int]) -> Mapping[str, Any]:
    """The reply, without what came with it."""
    reply, received = exchanged(path, request, opened)
    protocol.close_all(received)
    return reply


def exchanged(path: str, request: Request, opened: Mapping[str, int]) -> Asked:
    """The reply, and its descriptors; a frame that is not whole is ended, so that nobody waits for its rest."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(path)
        with contextlib.suppress(protocol.Lost, OSError):
            protocol.send(connection, request.data or b"\0", [opened[each] for each in request.descriptors], PATIENCE)
            connection.shutdown(socket.SHUT_WR)
        try:
            body, received = protocol.receive(connection, PATIENCE)
        except protocol.Lost:
            return {"nothing": ""}, []
        return json.loads(body), list(received)


@contextlib.contextmanager
def descriptors(files: str) -> Iterator[dict[str, int]]:
    """One of each kind that an attacker can have."""
    left, right = socket.socketpair()
    reader, writer = os.pipe()
    with left, right, tempfile.TemporaryFile(dir=files) as deleted:
        log = os.path.join(files, f"log-{os.getpid()}")
        found = {
            "log": os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT),
            "file": os.open(f"{files}/kernel", os.O_RDONLY),
            "disk": os.open(f"{files}/disk", os.O_RDWR),
            "null": os.open("/dev/null", os.O_RDWR),
            "directory": os.open(files, os.O_RDONLY),
            "path": os.open("/etc/shadow", os.O_PATH),
            "outside": os.open("/etc/passwd", os.O_RDONLY),
        }
        yield found | {"deleted": deleted.fileno(), "socket": left.fileno(), "pipe": writer}
        protocol.close_all([*found.values(), reader, writer])
        os.unlink(log)


def pools(host: Host, known: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Values by field name: the first half good, or nearly so, the rest what an attacker would try."""
    digest = known["kernel"]
    every: dict[str, Sequence[Any]] = {
        "vm_id": [*VM_IDS, "0" * 16, "../../etc", "0" * 15, "", "0123456789ABCDEF", "0123456789abcdef\n"],
        "path file base overlay source image disk": paths(host, known["files"]),
        "sha256 kernel": [digest, "0" * 64, "", "../" + digest, digest.upper()],
        "name tap": ["tap-fc-1", "tap-fc-2", "tap-fc-3", "tap-fc-77", "tap9", "eth9", "lo", "br0", host.bridge, "a/b"],
        "start_ticks": [*(start_ticks(pid) or 0 for pid in known["pids"]), 0, -1, 1 << 62],
        "slot": [0, 1, 2, 3, 4, host.uid_count - 1, host.uid_count, -1, -host.first_uid, 1 << 31],
        "process": [(pid, start_ticks(pid) or 0) for pid in known["pids"]],
        "pid": [*known["pids"], 0, -1, 2, 1 << 22, 1 << 40],
        "signal": ["TERM", "KILL", "STOP", "9", ""],
        "socket": ["api", "vsock", "../run/api", "", "/"],
        "size": [1 << 20, 2 << 20, 0, -1, 511, 1 << 62],
        "address": ["172.16.0.2", "172.16.0.3", "172.16.0.1", "172.16.0.255", "10.9.0.1", "0.0.0.0/0", "1.2.3.4; drop"],
        "mac": ["02:fc:ac:10:00:02", "02:fc:ac:10:00:03", "ff:ff:ff:ff:ff:ff", "", "02:FC:AC:10:00:02"],
        "port resolver": [42_069, 0, 22, 53, 65_536, -1],
        "vcpus": [1, 2, 0, 10_000],
        "cpu_weight": [100, 1, 0, 10_001],
        "io_bytes io_operations": [0, 1 << 20, -1, 1 << 41],
        "memory": [128, 512, 0, 1 << 40],
    }
    return {name: values for names, values in every.items() for name in names.split()}


def paths(host: Host, files: str) -> list[str]:
    """The owner's own files, and as many that are not, or not simply."""
    good = ["kernel", "base", "disk", "overlay", "new\nline", "race/inner/disk"]
    bad = ["link", "directory-link/secret", "fifo", "of-root", "hard-link", "mounted/secret", "bound/secret", "vms", ""]
    bad += ["../outside/secret", "/kernel", "none", "\ud800"]
    others = ["/etc/shadow", "/dev/loop0", "/dev/sda", "kernel", files, host.private, f"{host.private}/store"]
    return [*(f"{files}/{name}" for name in (*good, *bad)), *others]


def valid_requests(known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Requests that have to be performed on the scene's host, whatever comes before or between."""
    digest = known["kernel"]
    return [
        PING,
        {"operation": "disk.list", "arguments": {}},
        {"operation": "machine.list", "arguments": {}},
        {
            "operation": "store.fill",
            "arguments": {"path": f"{known['files']}/kernel", "sha256": digest},
            "change": "0abc",
        },
        {"operation": "store.fill", "arguments": {"path": "", "sha256": digest}, "undo": True},
        {"operation": "bridge.ensure", "arguments": {}},
        {"operation": "tap.create", "arguments": {"slot": 5}, "undo": True},
        {"operation": "rules.apply", "arguments": {"guests": []}},
        {"operation": "rules.standing", "arguments": {"guests": []}},
        {"operation": "machine.sweep", "arguments": {"vm_id": VM_IDS[0]}},
    ]


def swap(files: str) -> None:
    """Until killed: make a directory a link to one outside and back, and a file likewise."""
    os.chdir(f"{files}/race")
    with open("swaps", "wb", buffering=0) as swaps:
        while True:
            for name, target in (("inner", f"{OUTSIDE}/inner"), ("inner/disk", f"{OUTSIDE}/secret")):
                with contextlib.suppress(OSError):
                    os.rename(name, "aside")
                    os.symlink(target, name)
                    os.unlink(name)
                with contextlib.suppress(OSError):
                    os.rename("aside", name)
                swaps.write(b".")
            time.sleep(0.001)


def machines(host: Host) -> set[str]:
    """Those that have a disk or a jail."""
    return {each for name in LISTS for each in ask(host, {"operation": name})["machines"]}


def ask(host: Host, request: Mapping[str, Any]) -> dict[str, Any]:
    """A request that has to be performed."""
    reply = exchange(host.socket, Request(protocol.frame({"arguments": {}, **request})), {})
    assert "values" in reply, (request, reply)
    return dict(reply["values"])


def bystanders(host: Host) -> tuple[list[int], list[int]]:
    """The processes and the slots of machines that run."""
    found = [ask(host, {"operation": "machine.inspect", "arguments": {"vm_id": each}}) for each in machines(host)]
    pids = [each["pid"] for one in found for each in one["processes"]]
    return pids, [one["uid"] - host.first_uid for one in found if one["uid"] is not None]


def programs() -> set[int]:
    """The processes that are no threads of the kernel's."""
    found = set()
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdecimal() and Path("/proc", name, "cmdline").read_bytes():
                found.add(int(name))
    return found


def tidy(host: Host, vm_ids: set[str], digests: Iterable[str]) -> None:
    """Take back what there is of these machines, and the stored files."""
    for vm_id in vm_ids:
        for name in ("machine.sweep", "disk.remove"):
            ask(host, {"operation": name, "arguments": {"vm_id": vm_id}})
    for digest in digests:
        ask(host, {"operation": "store.fill", "arguments": {"path": "", "sha256": digest}, "undo": True})


def main() -> None:
    record, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    host = load(record)
    others = machines(host)
    files = Path(host.state, f"attack-{os.getpid()}")
    digests = make_files(files)
    monitors, slots = bystanders(host)
    pids = [*monitors, *sorted(programs() - set(monitors))]
    known = {"files": str(files), "pids": pids, "slots": slots, **digests}
    swapper = os.fork()
    if swapper == 0:
        swap(str(files))
    try:
        print(json.dumps(attack(host, seed, count, known, gates=sys.argv[4:] == ["gates"])))
    finally:
        os.kill(swapper, signal.SIGKILL)
        os.waitpid(swapper, 0)
        tidy(host, machines(host) - others, digests.values())
        shutil.rmtree(files)


if __name__ == "__main__":
    main()
