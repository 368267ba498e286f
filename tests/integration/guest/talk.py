"""What tests do with sessions of an agent."""

from collections.abc import AsyncIterator

from banger.guest.channel import Channel
from banger.guest.command import CommandEnd, ExecSpec
from banger.guest.session import NEITHER, Attaching

PATIENCE = 20.0


async def started(channel: Channel, *argv: str, name: str = "", **options: object) -> str:
    return await channel.session_start(ExecSpec(argv=argv, **options), name)  # type: ignore[arg-type]


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each


async def sent(channel: Channel, id: str, *data: bytes, eof: bool = False, patience: float = PATIENCE) -> int:
    return await channel.session_send(id, pieces(*data), eof=eof, patience=patience)


async def said(channel: Channel, id: str, **how: object) -> list[tuple[int, bytes]]:
    """What a session said to its end, or as ``how`` wants it."""
    attachment = await channel.session_attach(id, Attaching(**how))  # type: ignore[arg-type]
    return [piece async for piece in attachment.output()]


async def whole(channel: Channel, id: str, **how: object) -> bytes:
    return b"".join(data for _, data in await said(channel, id, **how))


async def ended(channel: Channel, id: str) -> CommandEnd | None:
    attachment = await channel.session_attach(id, Attaching(streams=NEITHER))
    assert [piece async for piece in attachment.output()] == []
    return (await attachment.finished())[0]
