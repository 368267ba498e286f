"""The handshake of Firecracker's vsock."""

import asyncio
import socket

import pytest

from banger import errors
from banger.vmm.firecracker import vsock


def shake(answer: bytes, *, close: bool = True) -> tuple[bytes, bytes]:
    """What was sent, and what is left to read after the handshake."""

    async def go() -> tuple[bytes, bytes]:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(answer)
            if close:
                theirs.shutdown(socket.SHUT_WR)
            await vsock.shake_hands(ours)
            ours.setblocking(True)
            return theirs.recv(100), ours.recv(100)

    return asyncio.run(go())


def test_the_stream_begins_behind_the_answer() -> None:
    assert shake(b"OK 1073741824\nstream") == (b"CONNECT 1024\n", b"stream")


@pytest.mark.parametrize("answer", [b"", b"O", b"OK 107"])
def test_a_connection_that_is_closed_early_may_be_tried_again(answer: bytes) -> None:
    with pytest.raises(vsock.Refused):
        shake(answer)


@pytest.mark.parametrize("answer", [b"NO 1\n", b"OK\n", b"OK x\n", b"ok 1\n", b"OK 1 2\n", b"\n", b"OK " + b"1" * 100])
def test_another_answer_is_no_vsock(answer: bytes) -> None:
    with pytest.raises(errors.AgentLost, match="does not speak"):
        shake(answer, close=False)


def test_a_reset_may_be_tried_again() -> None:
    async def go() -> None:
        ours, theirs = socket.socketpair()
        with ours:
            theirs.close()
            with pytest.raises(vsock.Refused):
                await vsock.shake_hands(ours)

    asyncio.run(go())
