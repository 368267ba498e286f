"""The API's client against servers that are honest, slow, garbled or gone."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from banger.vmm import sockets
from banger.vmm.firecracker import api, resources
from banger.vmm.firecracker.api import ApiError, Client

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def talk(directory: Path, serve: Serve, *requests: resources.Request, timeout: float = 5) -> list[object]:
    """What the client makes of a server's answers."""
    path = str(directory / "api.sock")

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def go() -> list[object]:
        server = await asyncio.start_unix_server(guarded, path)
        async with server, Client(await sockets.connect(path), timeout) as client:
            return [await client.send(request) for request in requests]

    return asyncio.run(go())


def answering(*answers: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        await reader.read()

    return serve


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 \r\nServer: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_answers_are_taken_in_turn(tmp_path: Path) -> None:
    serve = answering(b"HTTP/1.1 204 \r\nServer: x\r\n\r\n", ok(b'{"firecracker_version":"1.12.1"}'))
    said = talk(tmp_path, serve, resources.Entropy(), resources.Version())
    assert said == [None, {"firecracker_version": "1.12.1"}]


def test_a_request_is_http_with_a_json_body(tmp_path: Path) -> None:
    seen = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen = await reader.readuntil(b"}")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    talk(tmp_path, serve, resources.MachineConfig(vcpu_count=2, mem_size_mib=256))
    head, _, body = seen.partition(b"\r\n\r\n")
    assert head.startswith(b"PUT /machine-config HTTP/1.1\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert body == b'{"vcpu_count":2,"mem_size_mib":256}'


def test_what_comes_before_the_answer_is_passed_over(tmp_path: Path) -> None:
    assert talk(tmp_path, answering(b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"[]")), resources.Version()) == [[]]


FAULTY = {
    "refused": (b'HTTP/1.1 400 \r\nContent-Length: 25\r\n\r\n{"fault_message":"no \\u001b"}'[:-4] + b'"}', "no"),
    "refused without a word": (b"HTTP/1.1 400 \r\n\r\n", "status 400"),
    "refused in no words": (b"HTTP/1.1 500 \r\nContent-Length: 2\r\n\r\n[]", "status 500"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
    "no status": (b"HTTP/1.1 abc\r\n\r\n", "not HTTP"),
    "no JSON": (ok(b"<html>"), "no JSON"),
    "deep JSON": (ok(b"[" * 100_000), "no JSON"),
    "chunks": (b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", "form"),
    "a huge body": (b"HTTP/1.1 200 \r\nContent-Length: 999999999\r\n\r\n", "too long"),
    "an endless head": (b"HTTP/1.1 200 \r\nX: " + b"x" * api.HEAD_LIMIT * 2, "too long"),
}


@pytest.mark.parametrize("case", FAULTY)
def test_a_faulty_answer_is_told(case: str, tmp_path: Path) -> None:
    answer, words = FAULTY[case]
    with pytest.raises(ApiError, match=words) as told:
        talk(tmp_path, answering(answer), resources.Version())
    assert str(told.value).startswith("GET /version: ")
    assert str(told.value).isprintable()


@pytest.mark.parametrize("cut", [0, 5, 20, 60])
def test_an_answer_that_breaks_off_is_told(cut: int, tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok(b'{"firecracker_version":"1.12.1"}')[:cut])

    with pytest.raises(ApiError, match="closed the connection"):
        talk(tmp_path, serve, resources.Version())


def test_a_silent_monitor_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="no answer within"):
        talk(tmp_path, answering(), resources.Version(), timeout=0.1)


def test_a_monitor_that_drips_is_an_error(tmp_path: Path) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.01)

    with pytest.raises(ApiError, match="no answer within"):
        talk(tmp_path, drip, resources.Version(), timeout=0.1)


def test_after_a_fault_nothing_more_is_asked() -> None:
    """The next answer would be to the request before."""

    async def go() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            async with Client(ours, timeout=0.05) as client:
                for words in ("no answer", "not connected"):
                    with pytest.raises(ApiError, match=words):
                        await client.send(resources.Version())

    asyncio.run(go())
