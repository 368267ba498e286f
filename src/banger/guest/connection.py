"""A TCP connection that was made inside the guest, seen from the host."""

import asyncio
from collections.abc import Callable

from banger.guest.stream import Stream, refusal


class GuestConnection:
    """Bytes in both directions, each of which ends on its own."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def read(self) -> bytes:
        """The next bytes from the guest's side, empty at its end. Raises `errors.GuestRefused` where it broke off."""
        piece = await self._stream.read(only=1)
        if piece is not None:
            return piece[1]
        if self._stream.ended.done() and (broken := refusal(self._stream.ended.result(), "")) is not None:
            raise broken
        return b""

    async def write(self, data: bytes | bytearray | memoryview) -> bool:
        """Send; False when the guest's side is gone."""
        return await self._stream.write(data)

    async def write_eof(self) -> None:
        """No more from this side; the other may go on."""
        self._stream.end_input()
        await self._stream.flushed()

    async def close(self) -> None:
        """Want no more of it. An end in order, as far as the other side can see."""
        self._stream.end_input()
        self._stream.close()

    def reset(self) -> None:
        """Break it off: the other side is told so, unless this one has said its last before."""
        self._stream.close()

    async def ended(self) -> None:
        """Wait until the guest has nothing of it any more. Raises `errors.AgentLost` where the guest itself is gone."""
        await asyncio.shield(self._stream.ended)

    def when_ended(self, act: Callable[[], None]) -> None:
        """Have ``act`` called then, or when the guest itself is gone."""
        self._stream.ended.add_done_callback(lambda _: act())
