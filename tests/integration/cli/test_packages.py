"""``banger run`` with a profile's packages: machines of the fake driver, whose agent is real and sees a small system.

Its package manager is a stand-in that notes what it is asked, and does what a test has it do.
"""

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.bootstrap.distribution import TOOLS
from banger.paths import PROJECT
from tests import debian_archive, fakes, guest_images
from tests.home import Home, make_home, passable
from tests.installation import agent
from tests.integration.workspace.conftest import Repo

APK = """\
#!/bin/sh
[ "$1" != info ] || exec test "$4" = have
echo "$(id -u):$PWD: $*" >>/notes
case " $* " in
    *" nosuch "*) printf 'ERROR: unable to select packages:\\n  no\\033[31msuch (no such package):\\n' >&2; exit 1;;
    *" slow "*) echo $$ >/tmp/pid; while [ -e /tmp/pid ]; do sleep 0.1; done;;
    *" served "*) sleep 600 & echo $! >/tmp/pid;;
    *" killed "*) kill -9 $PPID; exit;;
esac
echo "OK: $#"
"""
ADD = "0:/: add --no-cache --no-progress"


class Guest:
    """The system that every machine sees, and the installation that makes the machines."""

    def __init__(self, home: Home, root: Path) -> None:
        self.home, self.root = home, root

    def profile(self, *packages: str, more: str = "") -> None:
        os.makedirs(self.home.paths.config, exist_ok=True)
        Path(self.home.paths.config_file).write_text(
            f"[profile.a]\nimage = 'tiny'\npackages = {list(packages)}\n{more}"
        )

    def asked(self) -> list[str]:
        notes = self.root / "notes"
        return notes.read_text().splitlines() if notes.exists() else []

    def machines(self) -> list[str]:
        return self.home.banger("ps", "-q", check=True).stdout.split()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with passable(tmp_path_factory.mktemp("packages")) as directory, make_home(directory) as home:
        root = directory / "guest"
        root.mkdir()
        subprocess.run(["tar", "-xC", root, "--no-same-owner"], input=guest_images.busybox_tar(), check=True)
        shutil.copy(agent(), root / "agent")
        fakes.prepare(home)
        home.banger("daemon", "stop", check=True)
        inside = shlex.quote(
            f"mount --rbind /dev {root}/dev && mount --rbind /proc {root}/proc && "
            f"exec setpriv --pdeathsig KILL /usr/sbin/chroot {root} /agent serve-fd 0"
        )
        user = [] if os.geteuid() == 0 else ["--map-root-user", "--map-auto"]
        home.env["BANGER_FAKE_AGENT"] = " ".join(["/usr/bin/unshare", "--mount", *user, "/bin/sh", "-c", inside])
        home.banger("daemon", "start", check=True)
        yield Guest(home, root)


@pytest.fixture
def guest(whole: Guest) -> Iterator[Guest]:
    """It has apk, and has been asked for nothing; no machine is left."""
    (whole.root / "bin/apk").write_text(APK)
    (whole.root / "bin/apk").chmod(0o755)
    yield whole
    for name in whole.machines():
        whole.home.banger("rm", name, check=True)
    for left in ("notes", "tmp/pid", "bin/apk"):
        (whole.root / left).unlink(missing_ok=True)


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"  # it is nobody's to wait for


def until(what: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def test_they_are_there_before_the_command(guest: Guest) -> None:
    guest.profile("make", "have", "g++", more="env = {SOME = 'thing'}\n")
    done = guest.home.banger("run", "--rm", "--profile", "a", "--", "cat", "/notes", check=True)
    assert done.stdout == f"{ADD} make g++\n", "what the image has already is left out"
    assert "installing: packages make have g++\n  + apk: make g++\n  OK: 5\n  all packages are there\n" in done.stderr


def test_a_shell_and_a_detached_machine_wait_for_them(guest: Guest) -> None:
    guest.profile("make")
    assert (
        guest.home.banger("run", "--rm", "--profile", "a", stdin=b"cat /notes\n", check=True).stdout == f"{ADD} make\n"
    )
    assert guest.home.banger("run", "-d", "--name", "one", "--profile", "a", check=True).stdout == "one\n"
    assert guest.asked() == [f"{ADD} make"] * 2


def test_a_repository_brings_its_own_and_comes_first(guest: Guest, tmp_path: Path) -> None:
    repo = Repo(tmp_path / "app")
    repo.commit(**{PROJECT: "image = 'tiny'\npackages = ['make', 'gcc']\n", "mise.toml": "", "Makefile": "all:\n"})
    top = str(repo.top)
    assert "packages" in guest.home.banger("config", "trust", top, check=True).stderr
    told = guest.home.banger("run", top, "--dry-run", check=True).stderr
    assert "would be installed: packages make gcc, mise.toml\n" in told
    done = guest.home.banger("run", top, "--rm", "--", "cat", "/notes", "Makefile", check=True)
    assert done.stdout == f"{ADD} make gcc\nall:\n" and "mise" not in done.stderr
    shutil.rmtree(guest.root / "root/app")
    done = guest.home.banger("run", top, "--rm", "--no-bootstrap", "--", "cat", "/notes", check=True)
    assert done.stdout == f"{ADD} make gcc\n", "once, by the run before"
    shutil.rmtree(guest.root / "root/app")


def test_one_that_there_is_not_ends_the_run_by_what_the_machine_said(guest: Guest) -> None:
    guest.profile("make", "nosuch")
    done = guest.home.banger("run", "--rm", "--profile", "a", "--", "echo", "ran")
    assert (done.status, done.stdout) == (125, "")
    assert "could not be installed: ERROR: unable to select packages:; no\\x1b[31msuch" in done.stderr
    assert guest.machines() == [], "--rm deletes it all the same"
    done = guest.home.banger("run", "-d", "--name", "one", "--profile", "a")
    assert (done.status, done.stdout, guest.machines()) == (125, "", ["one"])
    assert "one goes on running without all of it; 'banger rm one' deletes it\n" in done.stderr


def test_without_a_package_manager_that_is_what_is_said(guest: Guest) -> None:
    (guest.root / "bin/apk").unlink()
    guest.profile("make")
    done = guest.home.banger("run", "--rm", "--profile", "a", "--", "true")
    assert done.status == 125
    assert "the image has none of the package managers that are known here (apt-get, apk, dnf, " in done.stderr
    guest.profile()
    guest.home.banger("run", "--rm", "--profile", "a", "--", "true", check=True)


def test_without_a_shell_that_is_what_is_said(guest: Guest) -> None:
    guest.profile("make")
    (guest.root / "bin/sh").rename(guest.root / "bin/elsewhere")
    try:
        done = guest.home.banger("run", "--rm", "--profile", "a", "--", "true")
    finally:
        (guest.root / "bin/elsewhere").rename(guest.root / "bin/sh")
    assert done.status == 125 and "could not be installed: the image has no shell\n" in done.stderr


def test_what_kills_it_is_said(guest: Guest) -> None:
    guest.profile("killed")
    done = guest.home.banger("run", "--rm", "--profile", "a", "--", "true")
    assert done.status == 125 and "could not be installed: signal 9 ended it\n" in done.stderr


def test_two_hundred_are_one_request(guest: Guest) -> None:
    names = [f"lib{number}-dev" for number in range(200)]
    guest.profile(*names)
    done = guest.home.banger("run", "--rm", "--profile", "a", "--", "true", check=True)
    assert "installing: 200 packages\n" in done.stderr
    assert guest.asked() == [f"{ADD} {' '.join(names)}"]


@pytest.mark.parametrize("name", ["-o Foo", "a;b", "../x"])
def test_what_is_no_name_is_refused_before_anything_is_there(guest: Guest, name: str) -> None:
    guest.profile("make", name)
    done = guest.home.banger("run", "-d", "--profile", "a")
    path = guest.home.paths.config_file
    assert (
        done.status == 125 and f"{path}:3: profile.a.packages[1]: '{name}' is not the name of a package" in done.stderr
    )
    assert (guest.machines(), guest.asked()) == ([], [])


def test_a_service_that_a_package_starts_does_not_hold_the_run_up(guest: Guest) -> None:
    guest.profile("served")
    done = guest.home.banger("run", "--rm", "--profile", "a", "--", "echo", "ran", check=True)
    os.kill(int((guest.root / "tmp/pid").read_text()), signal.SIGKILL)
    assert done.stdout == "ran\n"


@pytest.mark.parametrize("stays", [True, False])
def test_when_the_client_is_killed_so_is_the_package_manager_or_its_machine(guest: Guest, stays: bool) -> None:
    guest.profile("slow")
    pid = guest.root / "tmp/pid"
    client = guest.home.start("run", *(("--name", "one") if stays else ("--rm",)), "--profile", "a", "--", "true")
    try:
        until(lambda: pid.exists() and pid.read_text().strip())
        client.send_signal(signal.SIGKILL)
    finally:
        client.communicate()
    number = int(pid.read_text())
    if stays:
        until(lambda: gone(number))
        assert guest.machines() == ["one"]
        return
    until(lambda: guest.machines() == [])
    pid.unlink()  # what a machine of the fake driver leaves goes by itself
    until(lambda: gone(number))


def test_who_interrupts_it_is_told_what_stays(guest: Guest) -> None:
    guest.profile("slow")
    pid = guest.root / "tmp/pid"
    client = guest.home.start("run", "--name", "one", "--profile", "a", "--", "true")
    try:
        until(lambda: pid.exists() and pid.read_text().strip())
        client.send_signal(signal.SIGINT)
    finally:
        _, said = client.communicate(timeout=60)
    assert client.returncode == 130
    assert b"one goes on running without all of it" in said
    assert guest.machines() == ["one"]
    until(lambda: gone(int(pid.read_text())))


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_apt_installs_what_a_debian_lacks_and_takes_no_name_for_an_expression(stocked: Home, tmp_path: Path) -> None:
    """A real guest; its archive comes with it."""
    debian_archive.flat(tmp_path / "archive", "/root/archive")
    os.makedirs(stocked.paths.config, exist_ok=True)
    Path(stocked.paths.config_file).write_text(
        f"[[file_sync]]\nhost = '{tmp_path}/archive'\nguest = '~/archive'\n"
        "[profile.a]\npackages = ['bash', 'tiny-tool']\nenv.APT_CONFIG = '/root/archive/apt.conf'\n"
    )
    command = f"tiny-tool; {TOOLS[0].install} tiny.tool"
    done = stocked.banger("run", "--rm", "--memory", "512M", "--profile", "a", "--", "sh", "-c", command)
    assert "  + apt-get: tiny-tool\n" in done.stderr and "  all packages are there\n" in done.stderr
    assert done.stdout.startswith("tiny\n")
    assert done.status == 100 and "Unable to locate package tiny.tool" in done.stderr
