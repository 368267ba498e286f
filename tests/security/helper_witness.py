"""The witness of an attack on the root helper: what strace saw it do, judged line by line against what it may.

The judge knows nothing of requests and replies. It knows where the helper and its tools may write, read and send
signals; every successful system call beyond that is a violation. strace tells the real path of each descriptor, so a
link that was followed shows where it led.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from banger.helper.host import Host
from banger.helper.program import TOOLS

OPENS = {"open", "openat", "openat2", "creat"}
BY_PATH = {
    "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "mkdir",
    "mkdirat", "rmdir", "mknod", "mknodat", "chmod", "fchmodat", "chown", "lchown", "fchownat", "truncate", "utimensat",
    "umount2", "setxattr", "lsetxattr",
}  # fmt: skip
BY_DESCRIPTOR = {"fchmod", "fchown", "ftruncate", "fsetxattr"}
SIGNALS = {"kill", "tkill", "tgkill", "pidfd_send_signal"}
PROGRAMS = {"execve", "execveat"}
BIRTHS = {"clone", "clone3", "fork", "vfork"}
NEVER = {
    "mount", "move_mount", "pivot_root", "chroot", "setns", "unshare", "ptrace", "process_vm_writev", "init_module",
    "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "sethostname", "setdomainname",
    "settimeofday", "clock_settime", "swapon", "swapoff", "acct", "quotactl", "bpf", "perf_event_open", "ioperm",
    "iopl", "open_by_handle_at", "mount_setattr", "fsmount", "open_tree",
}  # fmt: skip
TRACED = sorted(OPENS | BY_PATH | BY_DESCRIPTOR | SIGNALS | PROGRAMS | BIRTHS | NEVER)

_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|\?)(?:<(.*?)>(?:\(deleted\))?)?( .*)?$")
_UNFINISHED = re.compile(r"(\d+) +(.*?) ?<unfinished \.\.\.>$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)$")
_PATH = re.compile(r'(?:(AT_FDCWD|\d+)(?:<((?:[^>\\]|\\.)*)>)?, )?"((?:[^"\\]|\\.)*)"')
_DESCRIPTOR = re.compile(r"\d+<((?:[^>\\]|\\.)*)>")
_WRITING = re.compile(r"\bO_(WRONLY|RDWR|CREAT|TRUNC|APPEND)\b")


class Allowed(NamedTuple):
    """Places, as `covers` reads them. What is forbidden counts more than what is allowed."""

    changed: tuple[str, ...]
    """Where names and files may be made, changed and removed."""
    written: tuple[str, ...]
    """What may also be opened for writing."""
    read: tuple[str, ...]
    forbidden: tuple[str, ...]
    started: tuple[str, ...] = ()
    """Programs that outlive the helper as somebody else: what they do from then on is judged by other tests."""


READ = (
    "/usr", "/lib*", "/proc", "/sys", "/dev/urandom", "/dev/random", "/etc/ld.so.cache", "/etc/iproute2",
    "/etc/localtime", "/etc/locale.alias", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/protocols",
    "/etc/services", "/etc/ssl/openssl.cnf", "/etc/e2fsck.conf", "/etc/blkid.conf", "/run/blkid", "/memfd:content",
)  # fmt: skip
"""What Python and the tools read anywhere; the last is what the helper itself hands to debugfs."""


def allowed(
    host: Host, *, read: tuple[str, ...] = (), forbidden: tuple[str, ...] = (), started: tuple[str, ...] = ()
) -> Allowed:
    """What the helper of an installation may do."""
    return Allowed(
        changed=(host.private, host.runtime, host.cgroup, "/dev/mapper"),
        written=(host.state, "/dev/null", "/dev/loop*", "/dev/net/tun", "/proc/sys/net/ipv4", "pipe:*"),
        read=(*READ, *read),
        forbidden=("/proc/sysrq-trigger", *forbidden),
        started=started,
    )


class Judge:
    """Takes lines of ``strace -f -y`` and keeps those that tell of what may not be."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._pending: dict[str, str] = {}
        self._pids: set[str] = set()
        self._started: set[str] = set()
        self._early: dict[str, list[str]] = {}
        """Lines of processes whose birth has not been told yet, since their parents were held up in it."""
        self._opened: dict[tuple[str, str], str] = {}
        """Process and its path of a descriptor -> what was opened: some files have no other name."""
        self.violations: list[str] = []
        self.calls = 0
        self.programs: dict[str, int] = {}

    def feed(self, lines: Iterable[str]) -> None:
        """Judge them in order."""
        for line in lines:
            pid = line.partition(" ")[0]
            if not self._pids:
                self._pids.add(pid)  # the first is the helper
            if pid in self._pids:
                self._line(pid, line.rstrip("\n"))
            else:
                self._early.setdefault(pid, []).append(line.rstrip("\n"))
        for pid in list(self._early):
            self._born(pid)

    def _born(self, pid: str) -> None:
        self._pids.add(pid)
        for line in self._early.pop(pid, ()):
            self._line(pid, line)

    def _line(self, pid: str, line: str) -> None:
        if line.endswith("<unfinished ...>"):
            found = _UNFINISHED.match(line)
            if found:
                self._pending[pid] = found[2]
            return
        resumed = _RESUMED.match(line)
        if resumed:
            line = f"{pid} {self._pending.pop(pid, '')}{resumed[2]}"
        found = _LINE.match(line)
        if found is None:
            if " +++ " not in line and " --- " not in line:
                self.violations.append(f"not understood: {line[:300]}")
            return
        self.calls += 1
        _, name, arguments, result, opened, _ = found.groups()
        if name in BIRTHS and result not in ("-1", "?", "0"):
            if pid in self._started:
                self._started.add(result)
            self._born(result)
        if result in ("-1", "?") or pid in self._started or name in BIRTHS:
            return
        if name in PROGRAMS and _opened(arguments) and _program(arguments) in self._allowed.started:
            self._started.add(pid)
        elif not self._may(pid, name, arguments, opened or ""):
            self.violations.append(line[:300])
        if name in OPENS:
            self._opened[pid, f"/proc/self/fd/{result}"] = opened or ""

    def _may(self, pid: str, name: str, arguments: str, opened: str) -> bool:
        if name in OPENS:
            return self._may_open(arguments, opened)
        if name in BY_PATH:
            places = [absolute(*each) for each in _PATH.findall(arguments)] or _DESCRIPTOR.findall(arguments)[:1]
            places = [self._opened.get((pid, each), each) for each in places]
            return bool(places) and all(self._within(each, self._allowed.changed) for each in places)
        if name in BY_DESCRIPTOR:
            place = _DESCRIPTOR.match(arguments)
            if place is not None and name == "fchmod" and place[1].startswith("socket:["):
                return True  # the mode that its name will get, if it ever has one
            return place is not None and self._within(place[1], self._allowed.changed)
        if name in SIGNALS:
            target = re.match(r"-?(\d+)(?:<(?:pid:)?(\d+).*?>)?", arguments)
            return target is not None and (target[2] if name == "pidfd_send_signal" else target[1]) in self._pids
        if name in PROGRAMS:
            return self._may_run(arguments)
        return False

    def _may_open(self, arguments: str, opened: str) -> bool:
        if "O_PATH" in arguments:
            return True  # held, neither read nor written; what is done with it comes in another line
        if _WRITING.search(arguments):
            return self._within(opened, self._allowed.changed + self._allowed.written)
        return self._within(opened, self._allowed.changed + self._allowed.written + self._allowed.read)

    def _may_run(self, arguments: str) -> bool:
        name = _program(arguments)
        self.programs[name] = self.programs.get(name, 0) + 1
        if name.endswith("python3"):
            return self.programs[name] == 1  # the helper itself
        return name in TOOLS and _opened(arguments)

    def _within(self, path: str, places: tuple[str, ...]) -> bool:
        path = path.removesuffix(" (deleted)")
        if ".." in path.split("/") or any(covers(each, path) for each in self._allowed.forbidden):
            return False
        return any(covers(each, path) for each in places)


def _program(arguments: str) -> str:
    """What an executed program is told its name is."""
    found = re.match(r'"[^"]*", \["([^"]*)"', arguments)
    return found[1] if found else ""


def _opened(arguments: str) -> bool:
    """Whether a program is executed by descriptor: it is the file that was checked."""
    return arguments.startswith('"/proc/self/fd/')


def covers(place: str, path: str) -> bool:
    """Whether a path is that place or below it; a place that ends in ``*`` is all that begins so."""
    if place.endswith("*"):
        return path.startswith(place[:-1])
    return path == place or path.startswith(place + "/")


def absolute(directory: str, place: str, name: str) -> str:
    """The path that an argument pair of a call at a directory names."""
    if name.startswith("/"):
        return name
    return f"{place}/{name}" if directory else name
