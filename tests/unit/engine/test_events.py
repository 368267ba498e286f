"""Events: told in order, to those who listen; who does not read loses the oldest and is told."""

import asyncio
from contextlib import aclosing

from banger.api.event import Event
from banger.engine.events import QUEUE, Events, Listener


async def read(listener: Listener, number: int) -> list[Event]:
    async with aclosing(listener.events()) as events:
        return [await anext(events) for _ in range(number)]


def test_who_listens_is_told_in_order() -> None:
    async def play() -> None:
        events = Events()
        events.machine("early", "0", "running", "")
        one, two = events.listen(), events.listen()
        for number in range(3):
            events.machine("web", str(number), "running", "")
        assert [each.id for each in await read(one, 3)] == ["0", "1", "2"]
        events.leave(one)
        events.machine("web", "3", "stopped", "powered off")
        assert [each.id for each in await read(two, 4)] == ["0", "1", "2", "3"]

    asyncio.run(play())


def test_who_waits_is_woken() -> None:
    async def play() -> None:
        events = Events()
        waiting = asyncio.create_task(read(events.listen(), 1))
        await asyncio.sleep(0)
        events.machine("web", "1", "running", "")
        assert (await waiting)[0].name == "web"

    asyncio.run(play())


def test_who_does_not_read_loses_the_oldest_and_is_told() -> None:
    async def play() -> None:
        events = Events()
        listener = events.listen()
        for number in range(QUEUE + 7):
            events.machine("web", str(number), "running", "")
        first, second = await read(listener, 2)
        assert (first.kind, first.count) == ("lost", 7)
        assert second.id == "7"

    asyncio.run(play())
