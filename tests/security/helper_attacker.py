"""What somebody who has taken over the owner's account does to the helper: sends requests, and changes files.

Also a program, for a host with an installation: ``helper_attacker RECORD COUNT SEED``, as the owner, prints what came
of it. It knows of no machine there, but whatever the operations let the owner do to the network, it does.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from banger.helper import protocol
from banger.helper.host import Host, load
from banger.helper.snapshot import layout
from tests.security.helper_requests import VM_IDS, Request, Requests

OUTSIDE = "/srv/outside"
SIZE = 1 << 20
PATIENCE = 120.0
SHARED = ("bridge.ensure", "rules.apply")
"""What works on the one bridge: another request may take it away at that moment, and then it fails."""
LISTS = ("disk.list", "machine.list")
PING = {"operation": "helper.ping"}


def attack(host: Host, seed: int, count: int, known: Mapping[str, Any]) -> dict[str, Any]:
    """Send ``count`` requests and, at the end, a ping; what came of them."""
    valid = valid_requests(known)
    requests = Requests(seed, pools(host, known), valid)
    answers: Counter[str] = Counter(dict.fromkeys(("values", "refused", "failed", "nothing"), 0))
    performed, unperformed = set(), []
    with descriptors(known["files"]) as opened:
        for number in range(count + 1):
            request = requests.next() if number < count else Request(protocol.frame(PING), (), "helper.ping")
            reply = exchange(host.socket, request, opened)
            answers[next(iter(reply))] += 1
            if request.valid and "values" in reply:
                performed.add(request.valid)
            elif request.valid and not reply.get("busy") and not ("failed" in reply and request.valid in SHARED):
                unperformed.append(f"{request.valid}: {reply}")
    return {"answers": answers, "valid": sorted(performed), "unperformed": unperformed}


def make_files(directory: Path) -> str:
    """The owner's own files, and what an owner can make that leads elsewhere; the digest of ``kernel``."""
    for each in (directory, directory / "vms", directory / "race", directory / "race" / "inner"):
        each.mkdir()
    kernel = b"kernel" * 1000
    (directory / "kernel").write_bytes(kernel)
    for name in ("base", "disk", "overlay", "new\nline", "race/inner/disk"):
        with open(directory / name, "wb") as file:
            file.truncate(layout(SIZE, 2 * SIZE).file if name == "overlay" else SIZE)
    os.mkfifo(directory / "fifo")
    (directory / "link").symlink_to(f"{OUTSIDE}/secret")
    (directory / "directory-link").symlink_to(OUTSIDE)
    return hashlib.sha256(kernel).hexdigest()


def exchange(path: str, request: Request, opened: Mapping[str, int]) -> Mapping[str, Any]:
    """The reply; a frame that is not whole is ended, so that nobody waits for its rest."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(path)
        with contextlib.suppress(protocol.Lost, OSError):
            protocol.send(connection, request.data or b"\0", [opened[each] for each in request.descriptors], PATIENCE)
            connection.shutdown(socket.SHUT_WR)
        try:
            body, received = protocol.receive(connection, PATIENCE)
        except protocol.Lost:
            return {"nothing": ""}
        protocol.close_all(received)
        reply: Mapping[str, Any] = json.loads(body)
        return reply


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
        "slot": [0, 1, 2, 3, 4, host.uid_count - 1, host.uid_count, -1, -host.first_uid, 1 << 31],
        "pid": [*known["pids"], 0, -1, 2, 1 << 22, 1 << 40],
        "signal": ["TERM", "KILL", "STOP", "9", ""],
        "socket": ["api", "vsock", "../run/api", "", "/"],
        "size": [1 << 20, 2 << 20, 0, -1, 511, 1 << 62],
        "address": ["172.16.0.2", "172.16.0.3", "172.16.0.1", "172.16.0.255", "10.9.0.1", "0.0.0.0/0", "1.2.3.4; drop"],
        "mac": ["02:fc:ac:10:00:02", "02:fc:ac:10:00:03", "ff:ff:ff:ff:ff:ff", "", "02:FC:AC:10:00:02"],
        "port resolver": [42_069, 0, 22, 53, 65_536, -1],
        "vcpus": [1, 2, 0, 10_000],
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


def tidy(host: Host, vm_ids: set[str], digest: str) -> None:
    """Take back what there is of these machines, and the stored file."""
    for vm_id in vm_ids:
        for name in ("machine.sweep", "disk.remove"):
            ask(host, {"operation": name, "arguments": {"vm_id": vm_id}})
    ask(host, {"operation": "store.fill", "arguments": {"path": "", "sha256": digest}, "undo": True})


def main() -> None:
    record, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    host = load(record)
    others = machines(host)
    files = Path(host.state, f"attack-{os.getpid()}")
    digest = make_files(files)
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    known = {"files": str(files), "kernel": digest, "pids": pids}
    swapper = os.fork()
    if swapper == 0:
        swap(str(files))
    try:
        print(json.dumps(attack(host, seed, count, known)))
    finally:
        os.kill(swapper, signal.SIGKILL)
        os.waitpid(swapper, 0)
        tidy(host, machines(host) - others, digest)
        shutil.rmtree(files)


if __name__ == "__main__":
    main()
