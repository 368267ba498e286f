"""The witness of attacks on the helper notices what it is there for."""

import pytest

from tests.security.helper_witness import Allowed, Judge

ALLOWED = Allowed(
    changed=("/private",),
    written=("/state", "/dev/loop*"),
    read=("/usr", "/proc", "/memfd:content"),
    forbidden=("/state/of-root", "/outside"),
    started=("jailer",),
)
FINE = r"""
1 execve("/usr/bin/python3", ["/usr/bin/python3", "-IS"], 0x7ff /* 9 vars */) = 0
1 openat(AT_FDCWD</>, "/usr/lib/x.py", O_RDONLY|O_CLOEXEC) = 3</usr/lib/x.py>
1 openat(AT_FDCWD</>, "/etc/shadow", O_RDONLY) = -1 EACCES (Permission denied)
1 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f0) = 2
2 openat(5</state>, "link", O_RDONLY|O_PATH|O_NOFOLLOW) = 6</state/link>
2 openat(AT_FDCWD</>, "/proc/self/fd/6", O_RDWR|O_CLOEXEC) = 7</state/disk>
2 openat(9</private>, ".", O_WRONLY|O_TMPFILE, 0600) = 10</private/#47>(deleted)
2 linkat(AT_FDCWD</>, "/proc/self/fd/10", 9</private>, "name", AT_SYMLINK_FOLLOW) = 0
2 openat(AT_FDCWD</>, "/dev/loop3", O_RDWR) = 8</dev/loop3>
2 unlinkat(9</private>, "name", 0) = 0
2 openat(AT_FDCWD</>, "/private/node", O_RDONLY|O_NOFOLLOW|O_PATH) = 8</private/node>
2 chown("/proc/self/fd/8", 901000, 901000) = 0
2 fchown(10</private/x>, 0, 0) = 0
2 execve("/proc/self/fd/9", ["ip", "-batch"], 0x7ff /* 2 vars */ <unfinished ...>
1 openat(AT_FDCWD</>, "/usr/lib/y.py", O_RDONLY <unfinished ...>
2 <... execve resumed>) = 0
1 <... openat resumed>) = 4</usr/lib/y.py>
1 kill(-2, SIGKILL) = 0
1 pidfd_send_signal(11<pid:2>, SIGKILL, NULL, 0) = 0
2 mount("none", "/x", "tmpfs", 0, NULL) = -1 EPERM (Operation not permitted)
2 +++ exited with 0 +++
2 openat(AT_FDCWD</>, "/proc/self/fd/6", O_RDONLY) = 7</memfd:content>(deleted)
2 fork( <unfinished ...>
3 execve("/proc/self/fd/9", ["jailer", "--id"], 0x7ff /* 2 vars */) = 0
3 clone3({flags=CLONE_VM|CLONE_THREAD, exit_signal=0} <unfinished ...>
4 openat(AT_FDCWD</>, "/etc/passwd", O_RDWR) = 3</jail/etc/passwd>
3 <... clone3 resumed> => {parent_tid=[4]}, 88) = 4
2 <... fork resumed>) = 3
2 fchmod(11<socket:[10259738]>, 0600) = 0
1 pidfd_send_signal(11<pid:3>, SIGKILL, NULL, 0) = 0
3 mount("none", "/x", "tmpfs", 0, NULL) = 0
"""
WRONG = [
    '1 openat(AT_FDCWD</>, "/etc/shadow", O_RDONLY|O_CLOEXEC) = 3</etc/shadow>',
    '1 openat(AT_FDCWD</>, "/proc/self/fd/6", O_RDWR) = 7</outside/secret>',
    '1 openat(AT_FDCWD</>, "/proc/self/fd/6", O_RDONLY) = 7</state/of-root>',
    '1 openat(AT_FDCWD</>, "/usr/bin/x", O_WRONLY|O_TRUNC) = 7</usr/bin/x>',
    '1 openat(AT_FDCWD</>, "/dev/sda", O_RDWR) = 7</dev/sda>',
    '1 openat(AT_FDCWD</>, "/state/new", O_RDWR|O_CREAT <unfinished ...>\n1 <... openat resumed>) = 7</statement>',
    '1 unlinkat(5</state>, "disk", 0) = 0',
    '1 rename("/private/a", "/private/../etc/passwd") = 0',
    '1 linkat(5</state>, "disk", 9</private>, "name", 0) = 0',
    '1 mknodat(9</outside>, "x", S_IFBLK|0600, makedev(8, 0)) = 0',
    '1 fchownat(5</state>, "disk", 0, 0, AT_SYMLINK_NOFOLLOW) = 0',
    '1 chown("/proc/self/fd/8", 901000, 901000) = 0',
    '1 openat(AT_FDCWD</>, "/x", O_PATH) = 8</outside/x>\n1 chown("/proc/self/fd/8", 1000, 1000) = 0',
    '1 openat(AT_FDCWD</>, "/private/x", O_PATH) = 8</private/x>\n2 chown("/proc/self/fd/8", 0, 0) = 0',
    "1 fchmod(7</state/disk>, 0644) = 0",
    "1 kill(4711, SIGKILL) = 0",
    "1 pidfd_send_signal(11<pid:4711>, SIGTERM, NULL, 0) = 0",
    '1 mount("none", "/x", "tmpfs", 0, NULL) = 0',
    "1 setns(5<net:[4026]>, CLONE_NEWNET) = 0",
    "1 fork() = 2\n2 fork() = 3\n3 kill(4711, SIGKILL) = 0",
    "1 fork() = -1 EAGAIN (Resource temporarily unavailable)\n1 kill(2, SIGKILL) = 0",
    '1 fork() = 2\n4711 mount("none", "/x") = 0',
    '1 execve("/bin/sh", ["sh", "-c"], 0x7ff /* 2 vars */) = 0',
    '1 execve("/proc/self/fd/9", ["sh", "-c"], 0x7ff /* 2 vars */) = 0',
    '1 execve("/tmp/jailer", ["jailer"], 0x7ff /* 2 vars */) = 0',
    "1 what is this",
]


def judged(text: str) -> list[str]:
    judge = Judge(ALLOWED)
    judge.feed(text.strip().splitlines())
    return judge.violations


def test_what_is_allowed() -> None:
    assert judged(FINE) == []


@pytest.mark.parametrize("line", WRONG)
def test_what_is_not(line: str) -> None:
    assert len(judged(line)) == 1
