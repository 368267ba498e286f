"""A guest's own connection, with real sockets: the test is the monitor that brings it and the helper that listens."""

import asyncio
import errno
import os
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from banger import errors, proc
from banger.guest.channel import Channel
from banger.helper.host import Host
from banger.helper.operation import Operation, Outcome
from banger.privileged.operations import Connect, Launch
from banger.vmm.driver import Handle, LaunchSpec
from banger.vmm.firecracker import doorbell, vsock
from banger.vmm.firecracker import driver as drivers
from banger.vmm.firecracker.doorbell import Doorbells
from banger.vmm.firecracker.driver import FirecrackerDriver

ID = "0123456789abcdef"
LONG = 60.0


def us() -> proc.Identity:
    """A process that lives for as long as the test."""
    return proc.Identity(os.getpid(), proc.start_ticks(os.getpid()) or 0)


CONTENT = b"HTTP/1.1 204 \r\n\r\n" * 100
"""What a monitor answers that has nothing against what it is asked."""

GONE = proc.Identity(os.getpid(), 1)
"""A process that has ended: what has its pid began at another time."""


def listener(path: Path) -> int:
    """As the helper makes it."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(4)
        return listening.detach()


def guest(path: Path) -> socket.socket:
    """As a guest connects by its monitor."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection


def closed(path: Path) -> bool:
    """Whether nobody listens any more."""
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == errno.ECONNREFUSED


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    return Path("bell")


async def rings(bells: Doorbells, monitor: proc.Identity, seconds: float = LONG) -> bytes | None:
    """What the guest says once it has rung; None when it has not."""
    connected = await bells.rung(ID, monitor, seconds)
    if connected is None:
        return None
    with connected:
        return await asyncio.get_running_loop().sock_recv(connected, 100)


@pytest.mark.parametrize("early", [True, False])
def test_the_guests_connection_is_taken_whenever_it_comes(path: Path, early: bool) -> None:
    async def go() -> None:
        bells = Doorbells()
        bells.put_up(ID, listener(path))
        assert bells.patience(ID) == doorbell.PATIENCE
        waiting = None if early else asyncio.ensure_future(rings(bells, us()))
        await asyncio.sleep(0)
        with guest(path) as connection:
            connection.sendall(b"here")
            assert await (waiting or rings(bells, us())) == b"here"

    asyncio.run(go())


def test_one_connection_is_taken_and_no_other(path: Path) -> None:
    async def go() -> None:
        bells = Doorbells()
        bells.put_up(ID, listener(path))
        with guest(path) as first, guest(path) as second:
            first.sendall(b"first")
            assert await rings(bells, us()) == b"first"
            with pytest.raises(ConnectionResetError):  # it waited in line
                second.recv(1)
        assert closed(path)
        assert bells.patience(ID) == 0

    asyncio.run(go())


def test_nobody_waits_for_a_machine_that_has_ended_or_is_taken_down(path: Path) -> None:
    async def go() -> None:
        bells = Doorbells()
        assert await rings(bells, GONE) is None
        bells.put_up(ID, listener(path))
        assert await rings(bells, GONE) is None
        assert await rings(bells, us(), 0.01) is None
        waiting = asyncio.ensure_future(rings(bells, us(), 0.05))
        await asyncio.sleep(0)
        bells.take_down(ID)
        bells.take_down(ID)
        assert await waiting is None
        assert closed(path)

    asyncio.run(go())


def test_whoever_is_cancelled_leaves_it_for_the_next(path: Path) -> None:
    async def go() -> None:
        bells = Doorbells()
        bells.put_up(ID, listener(path))
        waiting = asyncio.ensure_future(rings(bells, us()))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with guest(path) as connection:
            connection.sendall(b"here")
            assert await rings(bells, us()) == b"here"

    asyncio.run(go())


# -- the driver -------------------------------------------------------------------------------------------------------


class Helper:
    """A helper whose jail is a directory; it counts the connections that it was asked for."""

    host = Host(owner_uid=0, owner_gid=0)

    def __init__(self, path: Path, answers: Sequence[bytes]) -> None:
        self.path = path
        self.answers = list(answers)
        self.connects = 0
        self.asked = asyncio.Event()
        self.others: list[socket.socket] = []
        self.monitors: list[socket.socket] = []

    async def perform(self, operation: Operation, *, descriptors: Sequence[int] = (), change: str = "") -> Outcome:
        if isinstance(operation, Launch):
            ours, theirs = socket.socketpair()
            self.monitors.append(theirs)
            theirs.sendall(CONTENT)
            return Outcome({"pid": us().pid, "start_ticks": us().start_ticks}, (listener(self.path), ours.detach()))
        if isinstance(operation, Connect):
            self.connects += 1
            self.asked.set()
            ours, theirs = socket.socketpair()
            self.others.append(theirs)
            if self.answers:
                theirs.sendall(self.answers.pop(0))
            return Outcome(descriptors=(ours.detach(),))
        return Outcome()

    async def revert(self, operation: Operation, *, change: str = "") -> None:
        """There is nothing to take back."""


class Scene:
    """A machine that was launched: nothing is said to its monitor, which is this process."""

    def __init__(self, path: Path, answers: Sequence[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
        self.helper = Helper(path, answers)
        self.driver = FirecrackerDriver(self.helper, "/nowhere")
        file = Path("file")
        file.write_bytes(b"kernel")
        self.spec = LaunchSpec(
            vm_id=ID,
            directory=os.getcwd(),
            runtime=os.getcwd(),
            kernel=str(file.resolve()),
            initrd=str(file.resolve()),
            cmdline=(),
            vcpus=1,
            memory=64 << 20,
            drives=(),
        )

    def __enter__(self) -> "Scene":
        return self

    def __exit__(self, *_: object) -> None:
        for each in (*self.helper.others, *self.helper.monitors):
            each.close()

    async def launch(self) -> Handle:
        return await self.driver.launch(self.spec)


def test_a_start_asks_the_helper_for_no_connection(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        with Scene(path, [], monkeypatch) as scene:
            handle = await scene.launch()
            waiting = asyncio.ensure_future(scene.driver.connect_agent(handle))
            await asyncio.sleep(0.01)
            with guest(path) as connection, await waiting as connected:
                connection.sendall(b"no word before it")
                assert await asyncio.get_running_loop().sock_recv(connected, 100) == b"no word before it"
                assert connected.gettimeout() == 0
            assert scene.helper.connects == 0

    asyncio.run(go())


def test_a_guest_that_does_not_ring_is_called_until_it_answers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts that are not answered cost no more than their own time."""
    monkeypatch.setattr(doorbell, "PATIENCE", 0.01)
    monkeypatch.setattr(drivers, "_FIRST_LIMIT", 0.05)

    async def go() -> None:
        with (
            Scene(path, [b"", b"", b"OK 1\n"], monkeypatch) as scene,
            await scene.driver.connect_agent(await scene.launch()),
        ):
            assert scene.helper.connects == 3
            assert [each.recv(100) for each in scene.helper.others] == [b"CONNECT %d\n" % vsock.AGENT_PORT] * 3
            assert scene.helper.others[0].recv(1) == b"", "given up, and closed"
            assert closed(path), "it has its connection"

    asyncio.run(go())


def test_a_guest_may_still_ring_while_it_is_called(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "PATIENCE", 0.01)
    monkeypatch.setattr(drivers, "_FIRST_LIMIT", 0.05)

    async def go() -> None:
        with Scene(path, [], monkeypatch) as scene:
            waiting = asyncio.ensure_future(scene.driver.connect_agent(await scene.launch()))
            await scene.helper.asked.wait()
            with guest(path), await waiting:
                pass

    asyncio.run(go())


def test_what_was_lost_is_made_by_a_call(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a connection that ended, and by a daemon that did not launch the machine, without any waiting."""
    monkeypatch.setattr(doorbell, "PATIENCE", LONG)

    async def go() -> None:
        with Scene(path, [b"OK 1\n", b"OK 2\n"], monkeypatch) as scene:
            handle = await scene.launch()
            guest(path).close()
            (await scene.driver.connect_agent(handle)).close()
            (await scene.driver.connect_agent(handle)).close()
            (await FirecrackerDriver(scene.helper, "/nowhere").connect_agent(handle)).close()
            assert scene.helper.connects == 2

    asyncio.run(asyncio.wait_for(go(), LONG / 2))


def test_it_goes_with_its_machine(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "_END_SECONDS", 0.01)

    async def go() -> None:
        with Scene(path, [], monkeypatch) as scene:
            handle = await scene.launch()
            with pytest.raises(errors.VmmFailed, match="does not end"):  # it is this process
                await scene.driver.kill(handle)
            assert closed(path)

    asyncio.run(go())


@pytest.mark.parametrize("said", [None, b"", b"nonsense" * 10_000])
def test_a_guest_that_rings_in_bad_faith_is_silent(
    path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes | None
) -> None:
    """It hangs up, says nothing, or no word of the protocol."""

    async def go() -> None:
        with Scene(path, [b"OK 1\n"], monkeypatch) as scene, socket.socket(socket.AF_UNIX) as connection:
            handle = await scene.launch()
            connection.connect(str(path))
            if said is None:
                connection.close()
            else:
                connection.setblocking(False)
                connection.send(said)
            with pytest.raises(errors.GuestSilent):
                await Channel.attach(partial(scene.driver.connect_agent, handle), timeout=0.3)
            assert scene.helper.connects == (said is None)

    asyncio.run(go())
