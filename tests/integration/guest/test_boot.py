"""The agent inside real machines: loader, process 1, and the one owner of its port."""

import asyncio
import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.guest.channel import Channel
from banger.guest.command import CommandEnd, ExecSpec
from banger.guest.session import Attaching
from tests.integration.guest.machine import Machine, busybox_root, cpio, ext4, initrd
from tests.integration.guest.rig import build_agent, on_channel, ran
from tests.integration.guest.test_agent_attachments import half_a_life
from tests.integration.guest.test_agent_files import in_pieces, tar_of

pytestmark = pytest.mark.qemu

LINE = "banger.root=the-root banger.modules=the-modules banger.net=10.0.2.15/24,10.0.2.2 banger.hostname=unit"
FILES: dict[str, bytes | Path | None] = {
    "banger/files": None,
    "banger/files/etc": None,
    "banger/files/etc/hosts": b"127.0.0.1 localhost\n",
    "banger/files/lib": None,
    "banger/files/lib/tool": b"#!/bin/sh\n",
    "banger/files/opt": None,
    "banger/files/opt/link": b"-> /etc/hosts",
    "banger/assets": None,
    "banger/assets/data": b"where the root has a directory",
    "banger/assets/lib": None,
    "banger/assets/lib/newer": b"from today\n",
}
INIT = """#!/bin/sh
trap 'echo init saw a signal' TERM
echo the init of the image runs > /run/init-ran
while :; do sleep 1; done
"""


class Parts:
    """What every machine of this file is made of."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.initrd = initrd(build_agent(directory))
        root = busybox_root(directory / "tree")
        (root / "sbin").mkdir()
        (root / "sbin" / "init").write_text(INIT)
        (root / "sbin" / "init").chmod(0o755)
        (directory / "modules" / "6.1").mkdir(parents=True)
        (directory / "modules" / "6.1" / "marker").write_text("the shared modules\n")
        self.modules = ext4(directory / "modules", directory / "modules.ext4", "4M")

    def boot(self, directory: Path, line: str) -> Machine:
        root = ext4(self.directory / "tree", directory / "root.ext4", "64M")
        own = cpio(FILES, {"banger/files/lib/tool": (0o4711, 1000, 77), "banger/files/opt": (0o750, 0, 0)})
        return Machine(directory, root, self.modules, self.initrd + own, line)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return Parts(tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="module")
def machine(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One machine without an init, which most tests share."""
    machine = parts.boot(tmp_path_factory.mktemp("machine"), LINE)
    yield machine
    print(machine.console.read_text())
    machine.kill()


async def told(channel: Channel, script: str) -> str:
    result = await ran(channel, "sh", "-c", script)
    return (result.stdout + result.stderr).decode()


def test_the_loader_brings_up_what_the_command_line_says(machine: Machine) -> None:
    async def use(channel: Channel) -> None:
        mounts = await told(channel, "mount")
        for line in (
            "/dev/vda on / type ext4 (rw",
            "on /usr/lib/modules type ext4 (ro",
            "devpts on /dev/pts ",
            "tmpfs on /dev/shm ",
            "tmpfs on /run ",
            "cgroup2 on /sys/fs/cgroup ",
        ):
            assert line in mounts
        assert await told(channel, "cat /lib/modules/6.1/marker") == "the shared modules\n"
        assert await told(channel, "hostname") == "unit\n"
        assert "inet 10.0.2.15/24" in await told(channel, "ip addr show eth0")
        assert "default via 10.0.2.2 dev eth0" in await told(channel, "ip route")
        assert "inet 127.0.0.1/8" in await told(channel, "ip addr show lo")
        health = await channel.health()
        assert (health.pid1, health.hostname) == ("agent", "unit")

    on_channel(machine.socket, use)


def test_the_machine_s_files_replace_links_and_keep_directories(machine: Machine) -> None:
    async def use(channel: Channel) -> None:
        assert await told(channel, "cat /etc/hosts; stat -c %F /etc/hosts") == "127.0.0.1 localhost\nregular file\n"
        assert await told(channel, "ls /data") == "", "the link that stood there was followed"
        assert await told(channel, "stat -c '%a %u %g' /usr/lib/tool") == "4711 1000 77\n"
        assert await told(channel, "readlink /lib; readlink /opt/link") == "usr/lib\n/etc/hosts\n"
        assert await told(channel, "stat -c %a /opt /etc") == "750\n755\n"

    on_channel(machine.socket, use)


def test_what_cannot_be_brought_to_the_root_does_not_stop_a_start(machine: Machine) -> None:
    async def use(channel: Channel) -> None:
        assert await told(channel, "cat /usr/lib/newer; stat -c %F /data") == "from today\ndirectory\n"
        assert await told(channel, "ls -a / /lib | grep banger-new") == ""
        assert "banger: the file data: Is a directory" in machine.console.read_text()

    on_channel(machine.socket, use)


def test_nobody_in_the_guest_can_take_or_open_the_agents_port(machine: Machine) -> None:
    async def use(channel: Channel) -> None:
        port = (await told(channel, "ls /sys/class/virtio-ports")).strip()
        for attack in (f"exec 9<>/dev/{port}", f"cat /dev/{port}", f"echo x >/dev/{port}"):
            assert "busy" in (await told(channel, attack)).lower()
        agent = (await told(channel, "ps | grep '@banger' | grep -v grep")).split()[0]
        reopened = await told(channel, f"for fd in /proc/{agent}/fd/*; do echo x 2>/dev/null >$fd; done; echo tried")
        assert "tried\n" in reopened
        assert (await told(channel, f"kill -TERM {agent}; kill -INT {agent}; kill -HUP {agent}; echo sent")) == "sent\n"
        unprivileged = await ran(channel, "sh", "-c", f"ls /proc/{agent}/fd; kill -9 {agent}", user="user")
        assert unprivileged.end.exit_code != 0
        assert await told(channel, f"cut -d ' ' -f 2 /proc/{agent}/stat") == "(banger-agent)\n"
        assert await told(channel, f"cat /proc/{agent}/oom_score_adj") == "-1000\n"

    on_channel(machine.socket, use)


def test_commands_run_as_the_guests_own_users(machine: Machine) -> None:
    async def use(channel: Channel) -> None:
        script = "id -u; echo $HOME $USER; pwd; grep Groups /proc/self/status"
        result = await ran(channel, "sh", "-c", script, user="user", cwd="/data")
        assert result.stdout == b"1000\n/data user\n/data\nGroups:\t77 1000 \n"
        assert (await ran(channel, "id", "-u", user="4242")).stdout == b"4242\n"
        assert b"uid=0(root) gid=77(extra)" in (await ran(channel, "id", user="root:extra")).stdout
        assert b"gid=99" in (await ran(channel, "id", user="user:99")).stdout
        assert (await ran(channel, "cat", "/proc/self/oom_score_adj")).stdout == b"0\n"
        assert (await ran(channel, "stty", "size", tty=(33, 99))).stdout == b"33 99\r\n"
        with pytest.raises(errors.CommandNotFound):
            await ran(channel, "bash")

    on_channel(machine.socket, use)


def test_process_1_reaps_what_commands_leave_behind(machine: Machine) -> None:
    async def use(channel: Channel) -> None:
        await told(channel, "for i in 1 2 3 4 5; do (sleep 0.1 &) ; done")
        for _ in range(100):
            await asyncio.sleep(0.1)
            left = await told(channel, "ps -o stat,comm")
            if "sleep" not in left:
                break
        assert "sleep" not in left
        assert "Z " not in left

    on_channel(machine.socket, use)


def test_clock_and_disk_obey_the_host(machine: Machine) -> None:
    async def use(channel: Channel) -> None:
        await channel.set_clock(1_900_000_000 * 10**9)
        assert abs(int(await told(channel, "date +%s")) - 1_900_000_000) < 60
        await channel.set_clock()
        assert abs(int(await told(channel, "date +%s")) - time.time()) < 60
        await channel.sync()

    on_channel(machine.socket, use)


def test_files_keep_their_owners_through_a_guest(machine: Machine) -> None:
    async def use(channel: Channel) -> None:
        await told(channel, "mkdir -p /data/a; head -c 3000000 /dev/urandom > /data/a/big; touch /data/a/mine")
        script = "busybox chown 1000:77 /data/a/mine; busybox chmod 4750 /data/a/mine; mkdir -p /data/b"
        assert await told(channel, script) == ""
        await channel.put("/data/b", in_pieces(await tar_of(channel, "/data/a")))
        assert await told(channel, "stat -c '%a %u %g' /data/b/a/mine") == "4750 1000 77\n"
        first, second = (await told(channel, "md5sum /data/a/big /data/b/a/big")).splitlines()
        assert first.split()[0] == second.split()[0]

    on_channel(machine.socket, use)


def test_sessions_of_a_guest_outlive_their_client(machine: Machine) -> None:
    names: list[str] = []

    async def begin(channel: Channel) -> None:
        names.append(await channel.session_start(ExecSpec(argv=("sh", "-c", "echo one; sleep 2; echo two"))))

    async def finish(channel: Channel) -> None:
        attachment = await channel.session_attach(names[0], Attaching())
        assert b"".join([data async for _, data in attachment.output()]) == b"one\ntwo\n"

    on_channel(machine.socket, begin)
    on_channel(machine.socket, finish)


def test_clients_that_die_with_half_a_frame_do_not_disturb_the_next(machine: Machine) -> None:
    chance = random.Random(6)
    for _ in range(6):
        half_a_life(machine.socket, chance)

    async def use(channel: Channel) -> None:
        assert (await ran(channel, "cat", stdin=b"whole" * 1000)).stdout == b"whole" * 1000
        assert "yes" not in await told(channel, "sleep 3; ps -o comm")

    on_channel(machine.socket, use)


def test_an_idle_agent_of_a_machine_without_a_client_uses_no_time(machine: Machine) -> None:
    spent: list[list[str]] = []

    async def use(channel: Channel) -> None:
        agent = (await told(channel, "ps | grep '@banger' | grep -v grep")).split()[0]
        spent.append((await told(channel, f"cut -d ' ' -f 14,15 /proc/{agent}/stat")).split())

    on_channel(machine.socket, use)
    time.sleep(3)
    on_channel(machine.socket, use)
    before, after = (sum(map(int, each)) for each in spent)
    assert after - before < 100, "hundredths of a second: it turns around while its port is without a host"


def test_process_1_turns_the_machine_off_in_order(parts: Parts, tmp_path: Path) -> None:
    machine = parts.boot(tmp_path, LINE)

    async def use(channel: Channel) -> None:
        script = "trap 'echo asked > /data/asked; exit' TERM; echo ready; while :; do sleep 0.1; done"
        name = await channel.session_start(ExecSpec(argv=("sh", "-c", script)))
        log = (await channel.session_attach(name, Attaching())).output()
        assert await anext(log) == (1, b"ready\n")
        await told(channel, "echo data > /data/late")
        await channel.poweroff()
        await channel.wait_closed()

    try:
        on_channel(machine.socket, use)
        assert machine.wait(30) == 0
        kept = dump(tmp_path / "root.ext4", "/data/asked"), dump(tmp_path / "root.ext4", "/data/late")
        assert kept == ("asked\n", "data\n")
    finally:
        machine.kill()


def dump(image: Path, path: str) -> str:
    environment = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}
    command = ["debugfs", "-R", f"cat {path}", str(image)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, env=environment).stdout


def test_an_image_s_init_becomes_process_1_and_the_agent_lives_beside_it(parts: Parts, tmp_path: Path) -> None:
    machine = parts.boot(tmp_path, f"{LINE} banger.init=/sbin/init")

    async def use(channel: Channel) -> None:
        assert (await channel.health()).pid1 == "/sbin/init"
        assert "init" in await told(channel, "cat /proc/1/comm; while ! cat /run/init-ran; do sleep 0.1; done")
        assert (await told(channel, "cut -c 1 /proc/[0-9]*/cmdline")).count("@") == 1
        assert (await ran(channel, "true")).end == CommandEnd(exit_code=0)
        await channel.poweroff()
        await channel.wait_closed()

    try:
        on_channel(machine.socket, use)
        assert machine.wait(30) == 0
    finally:
        machine.kill()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("banger.root=no-such-disk", "banger: no disk has the serial no-such-disk"),
        ("", "banger: the kernel command line has no banger.root="),
        ("banger.root=the-root banger.init=/no/init", "banger: the image's init /no/init cannot be started"),
    ],
    ids=["no disk", "no root", "no init"],
)
def test_a_machine_that_cannot_boot_says_why_and_ends(line: str, message: str, parts: Parts, tmp_path: Path) -> None:
    machine = parts.boot(tmp_path, line)
    try:
        assert machine.wait(60) == 0
        assert message in machine.console.read_text()
    finally:
        machine.kill()


def test_a_client_before_the_guest_listens_is_served_as_soon_as_it_does(parts: Parts, tmp_path: Path) -> None:
    machine = parts.boot(tmp_path, LINE)
    try:
        with socket.socket(socket.AF_UNIX) as early:
            early.connect(machine.socket)
            early.sendall(os.urandom(5000))
        on_channel(machine.socket, lambda channel: check(channel))
    finally:
        machine.kill()


async def check(channel: Channel) -> None:
    assert (await ran(channel, "echo", "well")).stdout == b"well\n"
