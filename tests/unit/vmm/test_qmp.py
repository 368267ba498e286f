"""The control client against a QEMU that a guest has taken over."""

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Iterator

import pytest

from banger.vmm.qemu import qmp

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="b") as directory:
        yield f"{directory}/qmp.sock"


def against(path: str, talk: Talk, command: str = "stop", timeout: float = 5) -> object:
    """Run one command against a server that talks as given."""

    async def whole() -> object:
        served = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await talk(reader, writer)
            except ConnectionError:
                pass
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
                served.set()

        async with await asyncio.start_unix_server(serve, path):
            try:
                async with qmp.Client(path, timeout=timeout) as client:
                    return await client.execute(command, reason="test")
            finally:
                await served.wait()

    return asyncio.run(whole())


def answering(*lines: bytes, greeting: bytes = GREETING) -> Talk:
    """Greet, accept the capabilities, then answer the next command with these lines."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.readline()
        writer.write(b'{"return": {}, "id": 1}\n')
        request = await reader.readline()
        assert request == b'{"execute":"stop","id":2,"arguments":{"reason":"test"}}\n'
        for line in lines:
            writer.write(line)
            await writer.drain()
        await reader.read()

    return talk


def test_the_answer_is_found_among_events(path: str) -> None:
    events = [b'{"event": "STOP", "timestamp": {}}\n'] * 1000
    assert against(path, answering(*events, b'{"return": {"a": 1}, "id": 2}\n')) == {"a": 1}


def test_a_refusal_is_told_in_qemus_words(path: str) -> None:
    with pytest.raises(qmp.QmpError, match="stop: not now"):
        against(path, answering(b'{"id": 2, "error": {"class": "GenericError", "desc": "not now"}}\n'))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"x" * (qmp.LINE_LIMIT + 2), "too long"),
        (b"[" * 100_000 + b"\n", "no JSON"),
        (b"[]\n", "no JSON object"),
        (b'"stop"\n', "no JSON object"),
        (b"\xff\xfe\n", "no JSON"),
        (b'{"return": {}, "id": 99}\n', "nothing that was asked"),
        (b'{"id": 2}\n', "without a reason"),
        (b'{"id": 2, "error": [1]}\n', "without a reason"),
    ],
)
def test_what_is_not_of_the_protocol_ends_it(path: str, line: bytes, reason: str) -> None:
    with pytest.raises(qmp.QmpError, match=reason):
        against(path, answering(line))


def test_a_closed_connection_is_noticed(path: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING[:10])

    with pytest.raises(qmp.QmpError, match="closed"):
        against(path, talk)


def test_something_else_that_answers_is_refused(path: str) -> None:
    with pytest.raises(qmp.QmpError, match="greeting"):
        against(path, answering(greeting=b'{"SSH": 2}\n'))


def test_nobody_there(path: str) -> None:
    async def connect() -> None:
        async with qmp.Client(path):
            pass

    with pytest.raises(qmp.QmpError, match="no connection"):
        asyncio.run(connect())


def test_silence_has_a_limit(path: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with pytest.raises(qmp.QmpError, match="time-out"):
        against(path, talk, timeout=0.05)
