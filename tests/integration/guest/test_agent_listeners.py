"""What the agent's real binary says of the sockets on this host, and what it finds out of what they speak."""
# ruff: noqa: ASYNC220, S104 - processes that only wait; a socket that nobody connects to

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path

import pytest

from banger.guest import web
from banger.guest.channel import Channel
from banger.guest.listeners import MOST, Listener, Listeners
from tests.integration.guest.rig import Port, on_channel

MEMORY_BOUND = 24 << 20

STRANGER = """
import socket, sys
with open("/proc/self/comm", "wb") as name:
    name.write(b"\\x1b[2J\\xff)\\nroot")
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""
CROWD = """
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
crowd = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(int(sys.argv[1]))]
for each in crowd:
    each.bind(("127.0.0.1", 0))
print("here", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def helper(script: str, *arguments: str) -> Iterator[tuple[int, str]]:
    """A Python process that says a line and then waits: its pid and the line."""
    command = [sys.executable, "-IS", "-c", script, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, process.stdout.readline().strip()
        finally:
            process.kill()


async def all_of(channel: Channel) -> Listeners:
    """What is told when it is all: the sockets of this host are also those of tests beside this one."""
    for _ in range(200):
        listening = await channel.listeners()
        if listening.complete:
            return listening
        await asyncio.sleep(0.1)
    raise AssertionError("there are always more")


def at(listening: Listeners, bound: socket.socket) -> Listener | None:
    """What is told of a socket."""
    host, port = bound.getsockname()[:2]
    transport = "tcp" if bound.type == socket.SOCK_STREAM else "udp"
    found = [
        each for each in listening.sockets if (each.transport, str(each.address), each.port) == (transport, host, port)
    ]
    return found[0] if found else None


def test_sockets_are_told_with_the_processes_that_have_them(port: Port) -> None:
    async def use(channel: Channel) -> None:
        with contextlib.ExitStack() as stack:
            opened = [
                stack.enter_context(socket.create_server((host, 0), family=family))
                for host, family in (
                    ("127.0.0.1", socket.AF_INET),
                    ("0.0.0.0", socket.AF_INET),
                    ("::1", socket.AF_INET6),
                )
            ]
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::")):
                opened.append(stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)))
                opened[-1].bind((host, 0))
            mapped = stack.enter_context(socket.socket(socket.AF_INET6))
            mapped.bind(("::ffff:127.0.0.1", 0))
            mapped.listen()
            client = stack.enter_context(socket.create_connection(opened[0].getsockname()))
            unbound = stack.enter_context(socket.socket())
            unbound.bind(("127.0.0.1", 0))
            pid, said = stack.enter_context(helper(STRANGER))

            listening = await all_of(channel)
            for each in opened:
                found = at(listening, each)
                assert found is not None and found.pid == os.getpid()
                assert found.process == Path("/proc/self/comm").read_text().strip()
            assert at(listening, client) is None, "it is connected"
            assert at(listening, unbound) is None, "it does not listen"
            told = {(str(each.address), each.port): each for each in listening.sockets}
            assert ("127.0.0.1", mapped.getsockname()[1]) in told
            stranger = told["127.0.0.1", int(said)]
            assert (stranger.pid, stranger.process) == (pid, "\\x1b[2J\ufffd)")

    on_channel(port.path, use)


def test_a_socket_that_several_processes_have_is_told_once(port: Port) -> None:
    async def use(channel: Channel) -> None:
        with socket.create_server(("127.0.0.1", 0)) as shared:
            inherited = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[shared.fileno()])
            try:
                told = [each for each in (await all_of(channel)).sockets if each.port == shared.getsockname()[1]]
                assert [each.pid for each in told] == [min(os.getpid(), inherited.pid)]
            finally:
                inherited.communicate()

    on_channel(port.path, use)


def test_more_sockets_than_can_be_told_and_processes_that_come_and_go(port: Port) -> None:
    async def use(channel: Channel) -> None:
        with helper(CROWD, str(MOST + 200)):
            crowded = await channel.listeners()
            assert not crowded.complete and MOST // 2 < len(crowded.sockets) <= MOST
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            subprocess.Popen(["sh", "-c", "for i in $(seq 150); do (exec true) & done; wait"]) as restless,
        ):
            while restless.poll() is None:
                found = at(await channel.listeners(), server)
                assert found is not None and found.pid == os.getpid()
        assert all(await asyncio.gather(*(channel.listeners() for _ in range(20))))

    on_channel(port.path, use)
    assert port.running()
    assert port.memory() < MEMORY_BOUND


# -- what they speak --------------------------------------------------------------------------------------------------

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@contextlib.asynccontextmanager
async def served(serve: Serve, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server of that kind; its port. At the end nothing of it is left."""
    under_way: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        try:
            with contextlib.suppress(OSError):
                await serve(reader, writer)
        finally:
            under_way.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await asyncio.sleep(0.01)


def saying(answer: bytes) -> Serve:
    """One that gives this answer to whatever it is asked, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        await writer.drain()

    return serve


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(4096):
        pass


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(bytes(1 << 16))
        await writer.drain()


async def asked(channel: Channel, port: int, expected: str | None, host: str = "127.0.0.1") -> None:
    """On a busy host an answer may come too late, but never a wrong one."""
    found = None
    for _ in range(20):
        if (found := await web.scheme(channel, port, host)) == expected:
            return
        assert found is None
    raise AssertionError(f"{found}, not {expected}")


@pytest.mark.parametrize(
    ("serve", "expected"),
    [
        (saying(b"HTTP/1.0 200 OK\r\n\r\n"), "http"),
        (saying(b"HTTP/1.1 404 Not Found\r\nX: y\r\n\r\nhello"), "http"),
        (saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "http"),
        (saying(b"HTTP/1.1 2000 \r\n\r\n"), None),
        (saying(b"SSH-2.0-server\r\n"), None),
        (saying(b""), None),
        (saying(b"\x15\x03\x01\x00\x02\x02\x28"), "https"),
        (saying(b"\x16\x03"), None),
        (silent, None),
        (echo, None),
        (endless, None),
    ],
    ids=[
        "plain",
        "not found",
        "bad request",
        "no status",
        "a banner",
        "closed",
        "a refusal of TLS",
        "half a record",
        "silent",
        "echo",
        "endless",
    ],
)
def test_what_a_port_speaks(port: Port, serve: Serve, expected: str | None) -> None:
    async def use(channel: Channel) -> None:
        async with served(serve) as number:
            await asked(channel, number, expected)

    on_channel(port.path, use)


def test_tls_is_told_from_plain_http(port: Port, tmp_path: Path) -> None:
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=m -keyout key -out certificate"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")

    async def use(channel: Channel) -> None:
        async with served(silent, context) as number:
            await asked(channel, number, "https")
        async with served(saying(b"HTTP/1.0 200 OK\r\n\r\n"), host="::1") as number:
            await asked(channel, number, "http", "::1")
        assert await web.scheme(channel, number, "::1") is None, "nobody is there any more"

    on_channel(port.path, use)
