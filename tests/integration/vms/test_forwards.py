"""Ports of this host that lead into machines, whose agent is the real one and so connects on this host."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from banger import errors
from banger.api.vm import SetVm, StopVm
from banger.guest import web
from banger.guest.channel import Channel
from banger.guest.relay import resettable
from banger.vms import forwards, listening, resolving
from banger.vms.published import Place
from tests.installation import Installation, scenario

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say what came, once the other side has said its last; so both directions end on their own."""
    writer.write(b"got " + await reader.read())
    await writer.drain()


@contextlib.asynccontextmanager
async def guest(answer: Answer = echo, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server that the machine has, as far as its agent knows; its port."""
    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await answer(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        running = [each for each in tasks if each is not None and not each.done()]
        for each in running:
            each.cancel()
        await asyncio.gather(*running)


async def ask(port: int, question: bytes, address: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(question)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()


async def refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


@scenario
async def test_a_published_port_from_the_start_of_its_machine_to_its_end(installation: Installation) -> None:
    port = free_port()
    async with guest() as inside:
        async with installation.daemon() as daemon:
            await daemon.create(publish=[f"{port}:{inside}"])
            assert await ask(port, b"x" * 1_000_000) == b"got " + b"x" * 1_000_000
            (told,) = daemon.vms.show("one").published
            assert (told.address, told.port, told.guest, told.error) == ("127.0.0.1", port, inside, None)
            own = resolving.address(daemon.vms._machines.find("one"))
            assert await ask(inside, b"by name", str(own)) == b"got by name"
            await daemon.done(await daemon.vms.restart("one", StopVm(timeout=0)))
            assert await ask(port, b"again") == b"got again"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):  # its daemon has ended
            await reader.read()
        writer.close()
        assert await refused(port)
        async with installation.daemon() as daemon:
            assert await ask(port, b"the next") == b"got the next"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await daemon.done(await daemon.vms.stop("one", StopVm(timeout=0)))
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
            assert await refused(port)
            await daemon.done(await daemon.vms.start("one"))
            assert await ask(port, b"up") == b"got up"
            await daemon.done(await daemon.vms.delete("one"))
            assert await refused(port)


@scenario
async def test_connections_at_once_are_carried_and_more_wait_for_their_turn(installation: Installation) -> None:
    port, more = free_port(), 20
    async with guest() as inside, installation.daemon() as daemon:
        await daemon.create(publish=[f"{port}:{inside}"])

        async def hold() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"x" * 100)
            return reader, writer

        held = [await hold() for _ in range(forwards.AT_ONCE + more)]
        assert (await daemon.run("one", "true"))[0] == 0, "commands have places of their own"
        for _, writer in held:
            writer.write_eof()
        answers = await asyncio.gather(*(reader.read() for reader, _ in held))
        assert answers == [b"got " + b"x" * 100] * len(held)
        for _, writer in held:
            writer.close()
        assert await ask(port, b"after") == b"got after"


@scenario
async def test_where_nobody_listens_a_connection_is_broken_off(installation: Installation) -> None:
    port, nobody = free_port(), free_port()
    async with installation.daemon() as daemon:
        await daemon.create(publish=[f"{port}:{nobody}"])
        for _ in range(3):
            with pytest.raises(ConnectionResetError):
                await ask(port, b"")


@scenario
async def test_a_server_on_the_other_loopback_is_found(installation: Installation) -> None:
    port = free_port()
    async with guest(host="::1") as inside, installation.daemon() as daemon:
        await daemon.create(publish=[f"{port}:{inside}"])
        assert await ask(port, b"six") == b"got six"


@scenario
async def test_who_breaks_off_is_seen_to_do_so_at_the_other_end(installation: Installation) -> None:
    seen: asyncio.Queue[BaseException | bytes] = asyncio.Queue()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen.put_nowait(await reader.read())
        except ConnectionError as error:
            seen.put_nowait(error)

    async def abort(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"half an end")
        await writer.drain()
        await reader.readexactly(1)
        resettable(writer.get_extra_info("socket"))
        writer.transport.abort()

    port, other = free_port(), free_port()
    async with guest(watch) as watching, guest(abort) as aborting, installation.daemon() as daemon:
        await daemon.create(publish=[f"{port}:{watching}", f"{other}:{aborting}"])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"half a quest")
            resettable(client)
        assert isinstance(await seen.get(), ConnectionResetError)
        assert await ask(port, b"whole") == b""
        assert await seen.get() == b"whole"
        reader, writer = await asyncio.open_connection("127.0.0.1", other)
        writer.write(b"1")
        assert await reader.readexactly(11) == b"half an end"
        writer.write(b"2")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


@scenario
async def test_who_does_not_read_holds_up_its_own_connection_alone(installation: Installation) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(b"x" * (1 << 16))
            await writer.drain()
            sent += 1 << 16

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    ports = [free_port() for _ in range(3)]
    async with (
        guest(flood) as flooding, guest(deaf) as silent, guest() as fine, installation.daemon() as daemon,
    ):  # fmt: skip
        inside = (flooding, silent, fine)
        await daemon.create(publish=[f"{port}:{each}" for port, each in zip(ports, inside, strict=True)])
        _, unread = await asyncio.open_connection("127.0.0.1", ports[0], limit=1 << 16)
        stuck = socket.create_connection(("127.0.0.1", ports[1]))
        stuck.setblocking(False)
        pushed = await push(stuck)
        before = -1
        while before != sent:  # until nothing moves
            before = sent
            await asyncio.sleep(0.5)
        assert 0 < sent < 32 << 20
        assert 0 < pushed < 32 << 20
        assert await ask(ports[2], b"not held up") == b"got not held up"
        (machine,) = daemon.vms._parts.forwards._machines.values()
        resettable(stuck)
        stuck.close()  # its data is still on the way to a guest that does not take it
        listener = machine.listeners[Place("127.0.0.1", ports[1])]
        await daemon.until(lambda: not listener._carried)
        await daemon.done(await daemon.vms.kill("one"))
        unread.close()


async def push(client: socket.socket) -> int:
    """Send until nobody takes more."""
    pushed = 0
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(1):
                await asyncio.get_running_loop().sock_sendall(client, b"x" * (1 << 16))
            pushed += 1 << 16
    return pushed


@scenario
async def test_a_port_that_is_taken_is_refused_before_there_is_a_machine(installation: Installation) -> None:
    async with guest() as inside, installation.daemon() as daemon:
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = other.getsockname()[1]
            with pytest.raises(errors.PortUnavailable, match="something else"):
                await daemon.create(publish=[f"{free_port()}:{inside}", f"{taken}:{inside}"])
            assert daemon.names() == []
            made = await daemon.create("later", publish=[f"{taken}:{inside}"], start=False)
            with pytest.raises(errors.PortUnavailable):
                await daemon.vms.start("later")
            assert (made.state, daemon.vms.show("later").state) == ("done", "created")
        await daemon.done(await daemon.vms.start("later"))
        with pytest.raises(errors.PortUnavailable, match="machine 'later'"):
            await daemon.create(publish=[f"{taken}:{inside}"])
        for wrong in (
            ["0"],
            ["65536"],
            ["x"],
            ["1:2:3"],
            ["1.2.3:80:80"],
            [f"{taken}", f"127.0.0.1:{taken}:5"],
            ["[::1:80"],
        ):
            with pytest.raises(errors.UsageError):
                await daemon.create(publish=wrong)
        with pytest.raises(errors.PortUnavailable, match="no such address"):
            await daemon.create(publish=[f"192.0.2.1:{free_port()}:{inside}"])
        assert daemon.names() == ["later"]
        assert await ask(taken, b"still") == b"got still"


@scenario
async def test_two_at_once_for_one_port(installation: Installation) -> None:
    port = free_port()
    async with guest() as inside, installation.daemon() as daemon:
        both = (daemon.create(name, publish=[f"{port}:{inside}"]) for name in ("one", "two"))
        ended = await asyncio.gather(*both, return_exceptions=True)
        (failed,) = [each for each in ended if isinstance(each, BaseException)]
        assert isinstance(failed, errors.PortUnavailable)
        assert len(daemon.names()) == 1
        assert await ask(port, b"the one") == b"got the one"


@scenario
async def test_a_port_that_the_next_daemon_cannot_bind_is_told_and_tried_again(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwards, "RETRY_SECONDS", 0.05)
    port, other = free_port(), free_port()
    async with guest() as inside:
        async with installation.daemon() as daemon:
            await daemon.create(publish=[f"{port}:{inside}", f"{other}:{inside}"])
        with socket.create_server(("127.0.0.1", port)):
            async with installation.daemon() as daemon:
                told = {each.port: each.error for each in daemon.vms.show("one").published}
                assert told == {port: "something else listens there", other: None}
                assert await ask(other, b"x") == b"got x"
                assert (await daemon.run("one", "true"))[0] == 0
        async with installation.daemon() as daemon:
            assert await ask(port, b"back") == b"got back"
        blocker = socket.create_server(("127.0.0.1", port))
        async with installation.daemon() as daemon:
            assert daemon.vms.show("one").published[0].error
            blocker.close()
            await daemon.until(lambda: daemon.vms.show("one").published[0].error is None)
            assert await ask(port, b"free") == b"got free"


@scenario
async def test_publishing_changes_while_a_machine_runs(installation: Installation) -> None:
    port, other, third = free_port(), free_port(), free_port()
    async with guest() as inside, installation.daemon() as daemon:
        await daemon.create(publish=[f"{port}:{inside}"])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await daemon.done(await daemon.vms.set("one", SetVm(publish=[f"{other}:{inside}"])))
        writer.write_eof()
        assert await reader.read() == b"got ", "what stays goes on"
        writer.close()
        assert await ask(other, b"new") == b"got new"
        await daemon.done(await daemon.vms.set("one", SetVm(unpublish=[str(port)])))
        assert await refused(port)
        with socket.create_server(("127.0.0.1", third)), pytest.raises(errors.PortUnavailable):
            await daemon.vms.set("one", SetVm(publish=[f"{third}:{inside}"]))
        with pytest.raises(errors.UsageError, match="not published"):
            await daemon.vms.set("one", SetVm(unpublish=[str(port)]))
        with pytest.raises(errors.UsageError, match="twice"):
            await daemon.vms.set("one", SetVm(publish=[str(other)]))
        ended = await daemon.done(await daemon.vms.set("one", SetVm(publish=[f"0.0.0.0:{third}:{inside}"])))
        assert [each for each in ended.notices if "open to other hosts" in each]
        assert [each.port for each in daemon.vms.show("one").published] == [other, third]
        assert await ask(third, b"open") == b"got open"


@scenario
async def test_ports_that_are_forwarded_for_as_long_as_somebody_wants_them(installation: Installation) -> None:
    port = free_port()
    async with guest() as inside, installation.daemon() as daemon:
        await daemon.create()
        async with daemon.vms.forward("one", [f"{port}:{inside}"]) as (told, ended):
            assert [(each.address, each.port, each.guest) for each in told.forwards] == [("127.0.0.1", port, inside)]
            assert await ask(port, b"held") == b"got held"
            with pytest.raises(errors.PortUnavailable, match="machine 'one'"):
                async with daemon.vms.forward("one", [str(port)]):
                    pass
        assert await refused(port)
        assert not ended.is_set()
        async with daemon.vms.forward("one", [f"{port}:{inside}"]) as (_, ended):
            await daemon.done(await daemon.vms.kill("one"))
            assert ended.is_set()
            assert await refused(port)
        with pytest.raises(errors.WrongState):
            async with daemon.vms.forward("one", [str(port)]):
                pass


@scenario
async def test_what_listens_says_by_which_ports(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    scheme = web.scheme

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"HTTP/1.0 204 No Content\r\n\r\n")

    port, nobody, idle = free_port(), free_port(), free_port()
    async with guest(greet) as inside, installation.daemon() as daemon:

        async def only_ours(channel: Channel, port: int, host: str) -> web.Scheme | None:
            return await scheme(channel, port, host) if port == inside else None

        monkeypatch.setattr(web, "scheme", only_ours)  # other servers of this host are not the test's to speak to
        await daemon.create(publish=[f"{port}:{inside}", f"{idle}:{nobody}"])
        for _ in range(20):  # on a busy host the answer may come too late
            told = await daemon.vms.ports("one")
            (found,) = [each for each in told.ports if (each.address, each.port) == ("127.0.0.1", inside)]
            if found.link:
                break
        assert (found.unreachable, found.endpoint) == (None, f"one.vm:{inside}")
        assert found.forwards == [f"127.0.0.1:{port}"]
        assert (found.scheme, found.link) == ("http", f"http://127.0.0.1:{port}/")
        own = str(resolving.own(daemon.vms._machines.find("one")))
        places = {(each.address, each.port, each.guest) for each in told.forwards}
        here = {("127.0.0.1", port, inside), ("127.0.0.1", idle, nobody)}
        assert places == here | {(own, inside, inside), (own, nobody, nobody)}


def test_low_ports_are_for_root() -> None:
    least = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        if least > 1:
            with pytest.raises(errors.PortUnavailable, match="root's"):
                listening.bind(Place("127.0.0.1", least - 1))
        else:
            listening.bind(Place("127.0.0.1", free_port())).close()
    finally:
        os.seteuid(os.getuid())
