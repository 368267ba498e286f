"""Guests that do not come up: silent ones, one that panics, one that floods its console, one that babbles at the port.

Their initrd's init is a script of this test's, which goes by the machine's name. All boot at once, most of them into
the time limit; each test looks at one of them.
"""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from banger.kernels import cpio, kernel
from banger.kernels.service import DISTRIBUTION
from tests import guest_images
from tests.home import Home
from tests.integration.cli.terminal import OnTerminal
from tests.integration.worst.conftest import (
    daemon_pid,
    memory,
    names,
    record_count,
    show,
    stocked_room,
    until,
)
from tests.tiny_guest import BUSYBOX

BOOT_TIMEOUT = 20
CONSOLE_LIMIT = 256 << 10
MEMORY_BOUND = 160 << 20

INIT = rb"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /banger/modules); do insmod $module; done
for word in $(cat /proc/cmdline); do case $word in banger.hostname=*) name=${word#*=};; esac; done
printf 'guest %s \033]0;owned\007\033[2J\n' $name
case $name in
panic) exit 1;;
flood) while :; do dmesg; done;;
noise) cat /dev/urandom >$(ls /dev/vport*p1);;
esac
while :; do sleep 1000; done
"""


class Outcome(NamedTuple):
    """How the client that made the machine ended."""

    status: int
    stderr: str


def plant(home: Home) -> None:
    """A kernel named ``hostile``: the distribution's with another init."""
    ours, hostile = Path(home.paths.kernel(DISTRIBUTION)), Path(home.paths.kernel("hostile"))
    shutil.copytree(ours, hostile, copy_function=os.link)
    shutil.copymode(ours, hostile)
    record = json.loads((hostile / kernel.RECORD).read_bytes())
    modules = (hostile / kernel.INITRD).read_bytes()[: record["modules_size"]]
    for name in (kernel.INITRD, kernel.RECORD):
        (hostile / name).unlink()
    (hostile / kernel.RECORD).write_text(json.dumps({**record, "name": "hostile"}))
    own = cpio.archive(
        [
            *(cpio.directory(name) for name in ("bin", "dev", "proc", "sys")),
            cpio.character_device("dev/console", 0o600, 5, 1),
            cpio.regular("bin/busybox", Path(BUSYBOX).read_bytes(), 0o755),
            cpio.regular("init", INIT, 0o755),
        ]
    )
    (hostile / kernel.INITRD).write_bytes(modules + own)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    settings = f"boot_timeout = {BOOT_TIMEOUT}\nconsole_limit = '256K'\n"
    with stocked_room(tmp_path_factory.mktemp("boots"), settings) as home:
        plant(home)
        layout = guest_images.busybox(home.directory / "layout")
        home.banger("image", "pull", layout, "--name", "busybox", check=True)
        yield home


OPTIONS = ("--image", "busybox", "--kernel", "hostile", "--memory", "128M", "--vcpu", "1")


@pytest.fixture(scope="module")
def outcomes(room: Home) -> Iterator[dict[str, Outcome]]:
    """What became of every one of them; all but the ephemeral machine are kept."""
    verbs: dict[str, tuple[str, ...]] = {
        name: ("vm", "create", "--name", name, *OPTIONS) for name in ("silent", "panic", "flood", "noise")
    }
    verbs["ephemeral"] = ("run", "--rm", "--name", "ephemeral", *OPTIONS, "--", "true")
    clients = {name: room.start(*words) for name, words in verbs.items()}
    clients["alone"] = room.start("vm", "create", "--name", "alone", *OPTIONS)
    until(lambda: "alone" in names(room), "a record of the machine")
    clients["alone"].kill()
    ended = {}
    for name, client in clients.items():
        _, stderr = client.communicate(timeout=200)
        ended[name] = Outcome(client.returncode, stderr.decode())
    yield ended
    room.banger("rm", *names(room), check=True)
    assert os.listdir(room.paths.vms) == []
    assert record_count(room, "vms") == 0


@pytest.mark.qemu
def test_one_that_never_answers_is_kept_to_look_at(room: Home, outcomes: dict[str, Outcome]) -> None:
    assert outcomes["silent"].status == 1
    assert f"the guest's agent did not answer within {BOOT_TIMEOUT} s" in outcomes["silent"].stderr
    assert "'banger vm logs silent' shows the console" in outcomes["silent"].stderr
    assert "console: guest silent" in outcomes["silent"].stderr
    machine = show(room, "silent")
    assert (machine["state"], machine["pid"]) == ("error", None)
    assert "guest silent" in room.banger("vm", "logs", "silent", check=True).stdout


@pytest.mark.qemu
def test_an_ephemeral_one_is_gone_and_its_console_is_told(room: Home, outcomes: dict[str, Outcome]) -> None:
    assert outcomes["ephemeral"].status == 125
    assert "console: guest ephemeral" in outcomes["ephemeral"].stderr
    assert "ephemeral" not in names(room)


@pytest.mark.qemu
def test_one_that_panics_is_told_as_one(room: Home, outcomes: dict[str, Outcome]) -> None:
    assert outcomes["panic"].status == 1
    assert "the guest's kernel panicked: Attempted to kill init" in outcomes["panic"].stderr
    assert show(room, "panic")["state"] == "error"


@pytest.mark.qemu
def test_one_that_floods_its_console_fills_no_disk(room: Home, outcomes: dict[str, Outcome]) -> None:
    assert outcomes["flood"].status == 1
    assert "did not answer" in outcomes["flood"].stderr
    machine = show(room, "flood")
    assert isinstance(machine["id"], str)
    console = Path(room.paths.vm(machine["id"]), "console.log")
    assert console.stat().st_size <= CONSOLE_LIMIT


@pytest.mark.qemu
def test_one_that_fills_the_port_with_noise_is_as_one_that_never_answers(
    room: Home, outcomes: dict[str, Outcome]
) -> None:
    assert outcomes["noise"].status == 1
    assert "did not answer" in outcomes["noise"].stderr
    assert memory(daemon_pid(room)) < MEMORY_BOUND


@pytest.mark.qemu
def test_escapes_on_a_console_reach_no_terminal(room: Home, outcomes: dict[str, Outcome]) -> None:
    for name, outcome in outcomes.items():
        assert all(line.isprintable() for line in outcome.stderr.splitlines()), name
    session = OnTerminal(room, "vm", "logs", "silent")
    assert session.end() == 0
    assert b"guest silent \\x1b]0;owned" in session.seen
    assert b"\x07" not in session.seen
    piped = room.banger("vm", "logs", "silent", check=True).stdout
    assert "\x1b]0;owned\x07" in piped, "a pipe gets the bytes as they are"


@pytest.mark.qemu
def test_a_boot_whose_client_was_killed_came_to_its_end(room: Home, outcomes: dict[str, Outcome]) -> None:
    """The machine was wanted, and nobody has to wait for it."""
    assert outcomes["alone"].status == -signal.SIGKILL
    until(lambda: show(room, "alone")["state"] == "error", "the end of a boot that nobody waits for")
    assert "did not answer" in str(show(room, "alone")["error"])


# -- kernels ----------------------------------------------------------------------------------------------------------

NO_KERNELS = {
    "text": (b"this is no kernel\n" * 100, "vmlinuz"),
    "empty": (b"", "bzImage"),
    "a program": (Path("/bin/true").read_bytes(), "vmlinux"),
    "zeros": (bytes(1 << 20), "vmlinuz-6.1"),
}


@pytest.mark.parametrize("kind", NO_KERNELS)
def test_a_file_that_is_no_kernel_is_not_imported(home: Home, kind: str) -> None:
    content, name = NO_KERNELS[kind]
    source = home.directory / "source"
    source.mkdir()
    (source / name).write_bytes(content)
    ended = home.banger("kernel", "import", "odd", "--from", str(source))
    assert (ended.status, ended.stdout) == (1, "")
    assert "is not a usable kernel" in ended.stderr
    assert home.banger("kernel", "list", "-q", check=True).stdout == ""
    assert not os.path.isdir(home.paths.kernels) or os.listdir(home.paths.kernels) == []


def test_a_kernel_that_is_cut_off_is_not_imported(home: Home) -> None:
    from tests import stock

    whole = stock.stock() / "kernels" / DISTRIBUTION / kernel.BZIMAGE
    source = home.directory / "source"
    source.mkdir()
    (source / "vmlinuz").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    ended = home.banger("kernel", "import", "odd", "--from", str(source))
    assert ended.status == 1
    assert "is not a usable kernel" in ended.stderr
    assert home.banger("kernel", "list", "-q", check=True).stdout == ""
