"""A TCP connection that was made inside the guest, seen from the host."""

from banger.guest.stream import Stream


class GuestConnection:
    """Bytes in both directions, each of which ends on its own."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def read(self) -> bytes:
        """The next bytes from the guest's side, empty at its end."""
        piece = await self._stream.read(only=1)
        return b"" if piece is None else piece[1]

    async def write(self, data: bytes | bytearray | memoryview) -> bool:
        """Send; False when the guest's side is gone."""
        return await self._stream.write(data)

    async def write_eof(self) -> None:
        """No more from this side; the other may go on."""
        self._stream.end_input()
        await self._stream.flushed()

    async def close(self) -> None:
        self._stream.close()
