"""An attack on the real root helper, in namespaces of its own: ``helper_scene DIRECTORY REQUESTS SEED``, as root.

Run by test_helper_attacks under ``unshare --mount --net --pid``. The host that the helper sees is ours: /sys, /dev and
/tmp are made anew, what is written to /etc, /usr or /var lands in an overlay where it is found, the network is empty
but for interfaces and rules of somebody else's, and the only processes are the scene's. One of them is the monitor of a
machine that lives already, the bystander: its process and slot are known to the attackers, its id is not, so nothing of
it may be touched. Prints one JSON object: what the witness saw, what of the host changed, and how the helper fared.
"""

import contextlib
import hashlib
import io
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import traceback
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from banger.helper import cgroup
from banger.helper.host import Host
from banger.helper.process import start_ticks
from banger.privileged import archive
from tests.released import released
from tests.security.helper_attacker import OUTSIDE, SIZE, Attacker, attack, descriptors, machines, swap, tidy
from tests.security.helper_attacker import make_files as attacker_files
from tests.security.helper_requests import VM_IDS
from tests.security.helper_witness import TRACED, Judge, allowed

OWNER = 54_321
STRANGER = 54_322
BASE = Path("/srv")
UPPER = Path("/mnt")
LOG = UPPER / "log"
COVERED = ("/etc", "/usr", "/var", "/root", "/home", "/opt", "/boot")
ATTACKERS = 3
GROUPS = Path("/sys/fs/cgroup")
BYSTANDER = 1
"""The attacker's number that nobody bears but who has the bystander launched."""

HOST = Host(
    owner_uid=OWNER,
    owner_gid=OWNER,
    state="/srv/state",
    private="/srv/private",
    runtime="/srv/run",
    cgroup="/sys/fs/cgroup/banger.slice/banger-machines.service",
    firecracker="/srv/bin/firecracker",
    jailer="/srv/bin/jailer",
)
ALLOWED = allowed(
    HOST,
    read=("/srv/bangerd-root.pyz", "/srv/install.json"),
    started=("jailer", "firecracker"),
    forbidden=(OUTSIDE, *(f"/srv/state/{name}" for name in ("of-root", "hard-link", "mounted", "bound"))),
)


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


def mount(kind: str, place: str, *options: str) -> None:
    run("mount", "-t", kind, *options, kind, place)


# -- the host ---------------------------------------------------------------------------------------------------------


def make_host() -> None:
    """What the helper will take for its host."""
    mount("tmpfs", str(BASE), "-o", "mode=755")
    mount("tmpfs", str(UPPER), "-o", "mode=700")
    for name in COVERED:
        if os.path.isdir(name):
            upper, work = (UPPER / each / name[1:] for each in ("upper", "work"))
            for each in (upper, work):
                each.mkdir(parents=True)
            mount("overlay", name, "-o", f"lowerdir={name},upperdir={upper},workdir={work}")
    run("umount", "--recursive", "--lazy", "/sys")
    mount("sysfs", "/sys")
    mount("cgroup2", str(GROUPS))
    mount("tmpfs", "/tmp")
    make_devices()
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "br0", "type", "bridge")
    for name in ("eth9", "tap9", "tap-fc-77"):
        run("ip", "tuntap", "add", name, "mode", "tap")
    run("ip", "addr", "add", "10.9.0.1/24", "dev", "eth9")
    run("nft", "add table inet other; add chain inet other in { type filter hook input priority 0; }")
    run("nft", "add rule inet other in tcp dport 22 accept")


def make_devices() -> None:
    """The few devices that a host has for everybody, and its loop devices."""
    names = ["null", "zero", "random", "urandom", "net/tun", "loop-control", *(f"loop{number}" for number in range(8))]
    devices = {each: os.stat(f"/dev/{each}") for each in names if os.path.exists(f"/dev/{each}")}
    mount("tmpfs", "/dev", "-o", "mode=755")
    os.mkdir("/dev/net")
    for name, found in devices.items():
        os.mknod(f"/dev/{name}", found.st_mode, found.st_rdev)
        os.chmod(f"/dev/{name}", 0o666 if name in ("null", "zero", "random", "urandom") else 0o600)


def make_groups() -> list[str]:
    """The control group of machines; those of its controllers that this kernel lets us have."""
    for name in ("scene", os.path.relpath(os.path.dirname(HOST.cgroup), GROUPS)):
        (GROUPS / name).mkdir()
    (GROUPS / "scene" / "cgroup.procs").write_text(str(os.getpid()))  # groups with processes hand no controllers on
    found = [each for each in cgroup.CONTROLLERS if each in (GROUPS / "cgroup.controllers").read_text().split()]
    for path in (GROUPS, Path(HOST.cgroup).parent):
        (path / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in found))
    return found


LESS = """
CONTROLLERS = {controllers}
_all = limits


def limits(*values):
    return {{name: value for name, value in _all(*values).items() if name.partition(".")[0] in CONTROLLERS}}
"""


def with_limits_of(zipapp: bytes, controllers: list[str]) -> bytes:
    """The helper as it is shipped, but for limits that this kernel has no controllers for."""
    if set(controllers) == set(cgroup.CONTROLLERS):
        return zipapp
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(zipapp)) as shipped, zipfile.ZipFile(made, "w") as archive:
        for entry in shipped.infolist():
            less = LESS.format(controllers=tuple(controllers)) if entry.filename.endswith("/cgroup.py") else ""
            archive.writestr(entry, shipped.read(entry) + less.encode())
    return made.getvalue()


def make_files(zipapp: bytes, programs: dict[str, bytes]) -> dict[str, str]:
    """The installation, the owner's files, and what is none of theirs; the digests of those to be stored."""
    os.mkdir(os.path.dirname(HOST.firecracker))
    for path in map(Path, (HOST.firecracker, HOST.jailer)):
        path.write_bytes(programs[path.name])
        path.chmod(0o755)
    Path("/srv/bangerd-root.pyz").write_bytes(zipapp)
    Path("/srv/install.json").write_text(json.dumps({each: getattr(HOST, each) for each in HOST.__dataclass_fields__}))
    outside, state = Path(OUTSIDE), Path(HOST.state)
    os.mkdir(HOST.private, 0o700)
    (outside / "inner").mkdir(parents=True)
    (outside / "secret").write_text("secret")
    (outside / "inner" / "disk").write_bytes(bytes(SIZE))
    digests = attacker_files(state)
    for path in [state, *state.rglob("*")]:
        os.chown(path, OWNER, OWNER, follow_symlinks=False)
    (state / "of-root").write_text("root's")
    (state / "of-root").chmod(0o600)
    os.link(outside / "secret", state / "hard-link")
    for name in ("mounted", "bound"):
        (state / name).mkdir()
    mount("tmpfs", str(state / "mounted"))
    (state / "mounted" / "secret").write_text("secret")
    run("mount", "--bind", str(outside), str(state / "bound"))
    return digests


# -- what must not change ---------------------------------------------------------------------------------------------


def inventory() -> dict[str, Any]:
    """All that is not banger's: files, links, rules, processes."""
    found: dict[str, Any] = {}
    for place in (UPPER / "upper", Path(OUTSIDE), Path("/tmp"), BASE / "install.json", Path("/srv/state")):
        for path in sorted([place, *place.rglob("*")]):
            if "/race/" not in f"{path}/":
                found[str(path)] = described(path)
    for link in json.loads(run("ip", "-j", "-d", "addr")):
        if not (link.get("ifalias") == "banger" or link["ifname"] == HOST.bridge):
            kept = {name: link.get(name) for name in ("ifname", "address", "mtu", "master", "operstate", "linkinfo")}
            kept["linkinfo"] = (link.get("linkinfo") or {}).get("info_kind")
            kept["flags"] = sorted(link["flags"])
            kept["addresses"] = [each["local"] for each in link["addr_info"] if each.get("scope") != "link"]
            found[f"link {link['ifname']}"] = kept
    found["rules"] = run("nft", "list", "table", "inet", "other")
    tables = {line for line in run("nft", "list", "tables").splitlines() if not line.endswith(" banger")}
    found["tables"] = sorted(tables)
    return found


def described(path: Path) -> str:
    """A file's every property but the time it was read."""
    info = path.lstat()
    text = f"{oct(info.st_mode)} {info.st_uid}:{info.st_gid} {info.st_nlink}"
    if stat.S_ISREG(info.st_mode):
        text += f" {info.st_size} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    return text


# -- the scene --------------------------------------------------------------------------------------------------------


HELPER = ("/usr/bin/python3", "-IS", "/srv/bangerd-root.pyz", "--record", "/srv/install.json")


class Helper:
    """The helper under strace, the witness in a thread."""

    def __init__(self, forbidden: Iterable[str]) -> None:
        self.judge = Judge(ALLOWED._replace(forbidden=(*ALLOWED.forbidden, *forbidden)))
        reader, writer = os.pipe()
        with open(LOG, "wb") as log:
            self._strace = subprocess.Popen(
                [
                    *("strace", "-f", "--seccomp-bpf", "--decode-fds=path,pidfd", "-s", "64", "-e", "signal=none"),
                    *("-e", f"trace={','.join(TRACED)}", "-o", f"/proc/self/fd/{writer}"),
                    *HELPER,
                ],
                stderr=log,
                pass_fds=[writer],
            )
        os.close(writer)
        self._witness = threading.Thread(target=self._watch, args=(reader,))
        self._witness.start()
        wait_for(lambda: can_connect(HOST.socket))
        self.pid = int(Path(f"/proc/{self._strace.pid}/task/{self._strace.pid}/children").read_text().split()[0])

    def _watch(self, reader: int) -> None:
        with open(reader, encoding="utf-8", errors="replace") as lines:
            self.judge.feed(lines)

    def memory(self) -> int:
        """KiB that it has to itself."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    def end(self) -> int:
        os.kill(self.pid, signal.SIGTERM)
        status = self._strace.wait(60)
        self._witness.join(120)
        return status


def can_connect(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(path) == 0


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def as_owner(act: Callable[[], Any]) -> tuple[int, int]:
    """A child that is the owner and nothing else, and where it writes its JSON answer."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(OWNER, OWNER, OWNER)
            os.setresuid(OWNER, OWNER, OWNER)
            with open(writer, "w") as answer:
                json.dump(act(), answer)
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    return pid, reader


def answered(child: tuple[int, int]) -> Any:
    with open(child[1]) as answer:
        text = answer.read()
    os.waitpid(child[0], 0)
    return json.loads(text)


@contextlib.contextmanager
def victims() -> Iterator[dict[str, int]]:
    """Processes that are none of the helper's business, with names as if they were."""
    made = {
        name: subprocess.Popen(["firecracker --id " + VM_IDS[0], "86400"], executable="/bin/sleep", user=uid, group=uid)
        for name, uid in (("root", 0), ("stranger", STRANGER), ("machine", HOST.uid(1)))
    }
    try:
        yield {name: each.pid for name, each in made.items() if each.poll() is None}
        assert all(each.poll() is None for each in made.values()), "a victim was killed"
    finally:
        for each in made.values():
            each.kill()
            each.wait()


def launched(known: dict[str, Any]) -> dict[str, Any]:
    """The bystander, by a helper that nobody watches; what there is to know of it."""

    def launch() -> dict[str, Any]:
        with descriptors(known["files"]) as opened:
            attacker = Attacker(HOST, BYSTANDER, {**known, "pids": []}, opened)
            attacker.live()
        assert not attacker.unperformed, attacker.unperformed
        return {"vm_id": attacker.own.vm_id, "slot": attacker.own.slot, "pid": attacker.own.process[0]}

    with subprocess.Popen(HELPER) as helper:
        try:
            wait_for(lambda: can_connect(HOST.socket))
            found: dict[str, Any] = answered(as_owner(launch))
        finally:
            helper.terminate()
    return found | {"since": start_ticks(found["pid"])}


def main() -> None:
    requests, seed = int(sys.argv[1]), int(sys.argv[2])
    os.umask(0o022)
    # The checkout and the build cache may be where the scene's own /tmp will be.
    zipapp, programs = archive.content(), {each.name: each.read_bytes() for each in released().iterdir()}
    make_host()
    digests = make_files(with_limits_of(zipapp, make_groups()), programs)
    known: dict[str, Any] = {"files": HOST.state, **digests}
    bystander = launched(known)
    of_bystander = [f"{HOST.jails}/firecracker/{bystander['vm_id']}", f"{HOST.cgroup}/vm-{bystander['vm_id']}"]
    with victims() as pids:
        helper = Helper(of_bystander)
        known["pids"] = [*pids.values(), bystander["pid"], helper.pid, os.getpid(), 1]
        known["slots"] = [bystander["slot"]]
        found = [attacked(max(100, requests // 20), seed, known, gates=True)]
        memory, before = helper.memory(), inventory()
        swapper, _ = as_owner(lambda: swap(HOST.state))
        share = -(-requests // ATTACKERS)
        children = [as_owner(partial(attack, HOST, seed + number + 1, share, known)) for number in range(ATTACKERS)]
        found += map(answered, children)
        os.kill(swapper, signal.SIGKILL)
        os.waitpid(swapper, 0)
        last = attacked(0, 0, known)
        grown, after = helper.memory() - memory, inventory()
        answered(as_owner(lambda: tidy(HOST, machines(HOST) - {bystander["vm_id"]}, digests.values())))
    status = helper.end()
    changed = {name: (before.get(name), after.get(name)) for name in before.keys() | after.keys()}
    report = {
        "violations": helper.judge.violations[:20],
        "calls": helper.judge.calls,
        "programs": helper.judge.programs,
        "changed": {name: values for name, values in changed.items() if values[0] != values[1]},
        "grown": grown,
        "status": status,
        "answers": {name: sum(each["answers"].get(name, 0) for each in found) for name in found[0]["answers"]},
        "valid": sorted({name for each in found for name in each["valid"]}),
        "unperformed": [each for one in found for each in one["unperformed"]][:10],
        "crashes": [line for line in LOG.read_text().splitlines() if '"crashed"' in line][:10],
        "swaps": Path(HOST.state, "race", "swaps").stat().st_size,
        "last": last["answers"],
        "gates": found[0]["gates"],
        "lives": sum(each["lives"] for each in found),
        "ended": sum(each["ended"] for each in found),
        "bystander": start_ticks(bystander["pid"]) == bystander["since"],
    }
    print(json.dumps(report))


def attacked(count: int, seed: int, known: dict[str, Any], *, gates: bool = False) -> Any:
    """One attack to its end."""
    return answered(as_owner(partial(attack, HOST, seed, count, known, gates=gates)))


if __name__ == "__main__":
    main()
