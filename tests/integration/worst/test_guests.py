"""Five kinds of guests, each pulled from a real registry by its reference, through what every machine must be able to.

busybox (static, no C library), a single static binary without a shell, Debian without an init, an image whose config
wishes for user, environment and directory, and Debian with systemd.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import guest_images, leaks
from tests.home import Home
from tests.integration.cli.terminal import OnTerminal
from tests.integration.worst.conftest import SMALL, names, show
from tests.registry import Registry

pytestmark = pytest.mark.qemu


class Kind(NamedTuple):
    """What is particular to a guest."""

    command: tuple[str, ...]
    output: str
    init: str
    shell: bool = True


BOOTED = "until [ -S /run/systemd/private ]; do sleep 0.2; done"
"""The agent answers before systemd has begun; this waits until it is there."""

KINDS = {
    "busybox": Kind(("sh", "-c", "echo $0 $(id -u) $PWD"), "sh 0 /\n", "agent"),
    "scratch": Kind(("/hello",), "hello from scratch\n", "agent", shell=False),
    "configured": Kind(
        ("sh", "-c", "echo $GREETING, $(id -u), $PWD"), "good day, 1000, /srv/work\n", "agent"
    ),
    "debian": Kind(("bash", "-c", "dpkg --version | head -1 | cut -d' ' -f1-2; cat /proc/1/comm"),
                   "Debian 'dpkg'\ninit\n", "agent"),
    "systemd": Kind(("sh", "-c", f"{BOOTED}; cat /proc/1/comm; systemctl --version | cut -d' ' -f1 | head -1"),
                    "systemd\nsystemd\n", "/sbin/init"),
}  # fmt: skip


class Guest(NamedTuple):
    """A machine that runs, and what is expected of it."""

    name: str
    reference: str
    kind: Kind


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that holds all five."""
    directory = tmp_path_factory.mktemp("registry")
    with Registry(directory) as serving:
        for name in KINDS:
            serving.push(getattr(guest_images, name)(directory / name), f"guests/{name}:1")
        yield serving


@pytest.fixture(scope="module", params=KINDS)
def guest(request: pytest.FixtureRequest, room: Home, registry: Registry) -> Iterator[Guest]:
    name = str(request.param)
    reference = registry.reference(f"guests/{name}:1")
    room.banger("run", "-d", "--name", name, "--image", reference, *SMALL, check=True, timeout=400)
    pid = show(room, name)["pid"]
    assert isinstance(pid, int)
    leaks.allow(pid)
    yield Guest(name, reference, KINDS[name])
    room.banger("rm", name, check=True)
    room.banger("image", "delete", reference, check=True)


def test_it_knows_the_reference_that_it_came_from(room: Home, guest: Guest) -> None:
    assert show(room, guest.name)["image"] == guest.reference


def test_a_command_finds_what_the_image_wishes_for(room: Home, guest: Guest) -> None:
    ended = room.banger("exec", guest.name, "--", *guest.kind.command)
    assert (ended.status, ended.stdout, ended.stderr) == (0, guest.kind.output, "")


def test_health_names_the_first_process(room: Home, guest: Guest) -> None:
    health = room.banger("vm", "health", guest.name, "--json", check=True).json()
    assert isinstance(health, dict)
    assert (health["init"], health["hostname"]) == (guest.kind.init, guest.name)


def test_the_agent_of_the_image_is_there_and_leaves_the_port_to_the_one_that_was_first(
    room: Home, guest: Guest
) -> None:
    command: tuple[str, ...] = ("/usr/local/bin/banger-agent", "version")
    health = room.banger("vm", "health", guest.name, "--json", check=True).json()
    assert isinstance(health, dict)
    wanted = f"{health['agent_version']}\n"
    if guest.kind.init != "agent":
        units = "banger-agent banger-network"
        command = ("sh", "-c", f"{BOOTED}; systemctl start {units}; systemctl is-active {units}")
        wanted = "inactive\ninactive\n"
    assert room.banger("exec", "-u", "0", guest.name, "--", *command).stdout == wanted


def test_what_is_said_on_the_console_is_in_the_log(room: Home, guest: Guest) -> None:
    """A boot without trouble says nothing."""
    say = ("exec", "-u", "0", guest.name, "--", "sh", "-c", "echo said aloud >/dev/console")
    assert room.banger(*say).status == (0 if guest.kind.shell else 127)
    said = room.banger("vm", "logs", guest.name, check=True).stdout
    assert ("said aloud" in said) == guest.kind.shell


def test_files_are_the_same_after_a_way_in_out_and_through_a_restart(room: Home, guest: Guest, tmp_path: Path) -> None:
    sent, kept = tmp_path / "sent", tmp_path / "kept"
    sent.mkdir()
    (sent / "bytes").write_bytes(os.urandom(300_000))
    (sent / "bytes").chmod(0o640)
    room.banger("cp", str(sent), f"{guest.name}:/kept", check=True)
    if guest.kind.shell:  # nothing but the stop itself writes this to the disk
        unsynced = "head -c 3000000 /dev/urandom >/kept/unsynced; md5sum </kept/unsynced"
        written = room.banger("exec", "-u", "0", guest.name, "--", "sh", "-c", unsynced, check=True).stdout
    room.banger("vm", "stop", guest.name, check=True)
    assert show(room, guest.name)["stop_reason"] == "powered off"
    room.banger("vm", "start", guest.name, check=True)
    pid = show(room, guest.name)["pid"]
    assert isinstance(pid, int)
    leaks.allow(pid)
    room.banger("cp", f"{guest.name}:/kept", str(kept), check=True)
    assert (kept / "bytes").read_bytes() == (sent / "bytes").read_bytes()
    assert (kept / "bytes").stat().st_mode & 0o777 == 0o640
    if guest.kind.shell:
        assert room.banger("exec", guest.name, "--", "sh", "-c", "md5sum </kept/unsynced").stdout == written


def test_a_shell_is_there_or_its_absence_is_told(room: Home, guest: Guest) -> None:
    ended = room.banger("exec", "-i", guest.name, "--", "/bin/sh", stdin=b"exit 9\n")
    if guest.kind.shell:
        assert ended.status == 9
    else:
        assert ended.status == 127
        assert "'/bin/sh' was not found in the guest" in ended.stderr


def test_a_bare_run_of_an_image_without_a_shell_says_what_to_type(room: Home, registry: Registry) -> None:
    reference = registry.reference("guests/scratch:1")
    before = names(room)
    session = OnTerminal(room, "run", "--rm", "--image", reference, *SMALL)
    assert session.end() == 127
    assert b"has no shell" in session.seen
    assert b"-- PROGRAM" in session.seen
    assert names(room) == before
    room.banger("image", "delete", reference, check=True)


def test_the_entrypoint_is_run_when_it_is_asked_for(room: Home, registry: Registry) -> None:
    reference = registry.reference("guests/configured:1")
    ended = room.banger("run", "--rm", "--image", reference, *SMALL, "--entrypoint", check=True)
    assert ended.stdout == "entry good day argument 1000 /srv/work\n"
    room.banger("image", "delete", reference, check=True)
