"""Run the whole test suite: ``make test``; with ``--group NAME`` only one group of it.

Four groups, each a pytest of its own: ``quick`` (no guest), ``machines`` (boots guests), ``smoke`` (scenarios on an
emulated host with KVM), each two at a time, and ``root`` (the few that need root, by name). A plain user runs the first
three from the checkout. Root does not: it makes an unprivileged user once, gives it a read-only copy of the checkout,
and runs them as that user, then the ``root`` group as itself. The last line is the sum of all groups, and the status is
0 only when everything that was asked for ran and passed. Standard library only.
"""

import contextlib
import ctypes
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, TypedDict

import setup
from setup import ROOT, SetupFailed

USER = "banger-test"
HOME = Path("/var/lib") / USER
COPY = HOME / "checkout"
PR_SET_CHILD_SUBREAPER = 36


class Group(NamedTuple):
    """A pytest run: which tests, how many at once, the time it should take, and when it is stopped."""

    name: str
    select: str
    options: tuple[str, ...]
    minutes: int
    limit: int


PAIRED = ("-n", "2", "--dist", "worksteal")
QUICK = Group("quick", "not qemu and not root and not smoke", PAIRED, 12, 30)
MACHINES = Group("machines", "qemu and not root and not smoke", PAIRED, 13, 45)
SMOKE = Group("smoke", "smoke and not matrix", PAIRED, 21, 50)
AS_ROOT = Group("root", "root", (), 5, 15)
ON_A_HOST = ("tests/smoke/test_deaths.py", "tests/smoke/test_power.py")
MATRIX = Group("matrix", "not root", ("tests/matrix", *ON_A_HOST, *PAIRED), 700, 1800)
"""The whole crash matrix, of which the others run a slice: only when it is asked for."""


class Place(NamedTuple):
    """Where and as whom a group runs."""

    tree: Path
    user: pwd.struct_passwd | None
    cache: Path


def say(text: str) -> None:
    print(f"test: {text}", flush=True)


# -- the unprivileged user --------------------------------------------------------------------------------------------


def ensure_user() -> pwd.struct_passwd:
    """The unprivileged user with a home and subordinate ids; made once."""
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        say(f"making the unprivileged user {USER}")
        run(["useradd", "--system", "--user-group", "--home-dir", str(HOME), "--shell", "/bin/sh", USER])
        user = pwd.getpwnam(USER)
    HOME.mkdir(mode=0o755, exist_ok=True)
    os.chown(HOME, user.pw_uid, user.pw_gid)
    for table, option in (("/etc/subuid", "--add-subuids"), ("/etc/subgid", "--add-subgids")):
        lines = Path(table).read_text().split() if Path(table).exists() else []
        ranges = [line.split(":") for line in lines if line.count(":") == 2]
        if not any(owner in (USER, str(user.pw_uid)) and int(count) >= 65536 for owner, _, count in ranges):
            first = max([100000, *(int(start) + int(count) for _, start, count in ranges)])
            run(["usermod", option, f"{first}-{first + 65535}", USER])
    return user


def run(argv: list[str]) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise SetupFailed(f"'{' '.join(argv[:4])} ...' ended with status {done.returncode}")


class Identity(TypedDict, total=False):
    """How a child is started as somebody else; empty means as ourselves."""

    user: int
    group: int
    extra_groups: list[int]


def identity(user: pwd.struct_passwd | None) -> Identity:
    """What turns a child of root's into ``user``, for good and with nothing of root's left."""
    if user is None:
        return {}
    return {
        "user": user.pw_uid,
        "group": user.pw_gid,
        "extra_groups": os.getgrouplist(user.pw_name, user.pw_gid),
    }


def reachable_python(user: pwd.struct_passwd) -> str:
    """An interpreter that the user can run too: root's own may lie below /root."""
    for name in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        real = os.path.realpath(name)
        probe = [real, "-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"]
        with contextlib.suppress(PermissionError, FileNotFoundError):
            if subprocess.run(probe, capture_output=True, cwd="/", check=False, **identity(user)).returncode == 0:
                return real
    raise SetupFailed(f"no Python 3.11 or later that {USER} can run; install python3 and python3-venv")


def copy_checkout() -> None:
    """Bring the copy up to date: the files that git knows or would add; what was built in the copy stays."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = {name for name in os.fsdecode(listed.stdout).split("\0") if name and (ROOT / name).is_file()}
    else:  # an unpacked archive
        names = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file() and not built(path, ROOT)}
    COPY.mkdir(mode=0o755, exist_ok=True)
    os.chown(COPY, 0, 0)
    for path in COPY.rglob("*"):
        if not path.is_dir() and str(path.relative_to(COPY)) not in names and not built(path, COPY):
            path.unlink()
    for name in sorted(names):
        source, target = ROOT / name, COPY / name
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)
        target.chmod(0o755 if os.access(source, os.X_OK) and source.stat().st_mode & 0o100 else 0o644)


def built(path: Path, tree: Path) -> bool:
    """Whether a file is a product of the set-up rather than a source."""
    parts = path.relative_to(tree).parts
    if parts[0] in (".venv", ".git") or "__pycache__" in parts or path.suffix == ".so":
        return True
    return any(str(path).startswith(f"{tree / place}/") and path.suffix != ".py" for place in setup.NATIVE.values())


# -- groups -----------------------------------------------------------------------------------------------------------


def environment(place: Place, tally: Path) -> dict[str, str]:
    """What the tests get: as little of the caller's as will do, and every cache outside the tree."""
    kept = ("PATH", "LANG", "TERM", "CI", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
    proxies = tuple(name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "no_proxy"))
    found = {name: os.environ[name] for name in (*kept, *proxies) if name in os.environ}
    user = place.user or pwd.getpwuid(os.geteuid())
    found |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name, "LANG": "C.UTF-8"}
    if place.user is not None:
        found["PATH"] = "/usr/local/bin:/usr/bin:/bin"  # what a plain user has: no sbin, nothing of root's
    return found | {
        "BANGER_BUILD_CACHE": str(place.cache),
        "BANGER_TEST_TALLY": str(tally),
        "MYPY_CACHE_DIR": str(place.cache / "mypy"),
        "RUFF_CACHE_DIR": str(place.cache / "ruff"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(place.cache / "hypothesis"),
    }


def run_group(group: Group, place: Place, options: list[str]) -> dict[str, int]:
    """Run one group to its end or its limit; the counts by outcome."""
    with tempfile.TemporaryDirectory(prefix="banger-suite-") as scratch:
        tally = Path(scratch) / "tally.json"
        if place.user is not None:
            os.chown(scratch, place.user.pw_uid, place.user.pw_gid)
        argv = [
            str(place.tree / ".venv" / "bin" / "python"),
            *("-m", "pytest", "-m", group.select, "-o", f"cache_dir={place.cache / 'pytest'}"),
            *group.options,
            *options,
        ]
        who = place.user.pw_name if place.user else pwd.getpwuid(os.geteuid()).pw_name
        say(f"group {group.name}, as {who} (about {group.minutes} min)")
        begun = time.monotonic()
        process = subprocess.Popen(
            argv,
            cwd=place.tree,
            env=environment(place, tally) | ({"BANGER_MATRIX": "full"} if group is MATRIX else {}),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **identity(place.user),
        )
        try:
            status = process.wait(group.limit * 60)
        except subprocess.TimeoutExpired:
            say(f"group {group.name} stopped: still running after {group.limit} min")
            status = -1
            process.send_signal(signal.SIGINT)  # it says what has failed so far
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
        finally:
            left = end_descendants()
        counts: dict[str, int] = json.loads(tally.read_text()) if tally.exists() else {}
    say(f"group {group.name} took {(time.monotonic() - begun) / 60:.1f} min")
    if left:
        say(f"group {group.name} left processes behind: {', '.join(left)}")
    nothing = status == 5 and bool(options)  # a selection by hand may leave a group empty
    if (status != 0 and not nothing and not counts.get("failed")) or left:
        counts["failed"] = counts.get("failed", 0) + 1
    return counts


def end_descendants() -> list[str]:
    """Kill whatever the group started and did not end; their names."""
    ended: list[str] = []
    for _ in range(50):
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        for pid in children:
            with contextlib.suppress(OSError):
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z":
                    ended.append(Path(f"/proc/{pid}/comm").read_text().strip())
                    os.kill(int(pid), signal.SIGKILL)
                os.waitpid(int(pid), 0)
        if not children:
            break
    return ended


def plan() -> list[tuple[Group, Place]]:
    """Which groups run here, where and as whom; everything they need is set up."""
    if os.geteuid() != 0:
        prepare(ROOT, sys.executable)
        say("not run: the tests marked 'root'; they need 'sudo make test'")
        place = Place(ROOT, None, setup.CACHE)
        return [(QUICK, place), (MACHINES, place), (SMOKE, place), (MATRIX, place)]
    setup.ensure_packages(setup.RUN_PACKAGES | setup.TEST_PACKAGES)
    user = ensure_user()
    copy_checkout()
    prepare(COPY, reachable_python(user))
    plain = Place(COPY, user, HOME / ".cache" / "banger-build")
    root = Place(COPY, None, setup.CACHE)
    return [(QUICK, plain), (MACHINES, plain), (SMOKE, plain), (AS_ROOT, root), (MATRIX, plain)]


def prepare(tree: Path, python: str) -> None:
    os.umask(0o022)
    run([python, str(tree / "scripts" / "setup.py"), "test"])


def main() -> int:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans come to us, so that none is overlooked
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # a limit around us ends what we started
    only, options = "", sys.argv[1:]
    if options[:1] == ["--group"]:
        only, options = options[1], options[2:]
    total: dict[str, int] = {}
    try:
        for group, place in plan():
            if group.name != only if only else group is MATRIX:
                continue
            for outcome, count in run_group(group, place, options).items():
                total[outcome] = total.get(outcome, 0) + count
    except SetupFailed as failure:
        say(str(failure))
        return 1
    failed = total.get("failed", 0)
    print(f"{total.get('passed', 0)} passed, {failed} failed", flush=True)
    return 1 if failed or not total.get("passed") else 0


if __name__ == "__main__":
    sys.exit(main())
