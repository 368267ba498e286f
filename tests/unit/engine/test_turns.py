"""Whoever waits for a turn gets it, in order, and nobody else comes in between."""

import asyncio

import pytest

from banger import errors
from banger.engine.turns import Turns
from tests.installation import scenario


class Subject:
    """One that is busy until it is let go of."""

    def __init__(self) -> None:
        self.busy = True
        self.turns = Turns(lambda subject: not self.busy)
        self.order: list[str] = []

    def wait(self, name: str, fulfilled: bool = False) -> "asyncio.Task[None]":
        async def waits() -> None:
            await self.turns.wait("s", lambda: "" if fulfilled else name)
            self.order.append(name)

        return asyncio.create_task(waits())

    async def free(self) -> None:
        self.busy = False
        self.turns.grant("s")
        await asyncio.sleep(0.01)


@scenario
async def test_turns_are_given_in_the_order_of_asking() -> None:
    subject = Subject()
    tasks = [subject.wait(name) for name in ("first", "second", "third")]
    await asyncio.sleep(0)
    assert subject.turns.next("s") == "first" and subject.order == []
    await subject.free()
    await asyncio.gather(*tasks)
    assert subject.order == ["first", "second", "third"]
    assert subject.turns.next("s") == ""


@scenario
async def test_the_next_waits_for_the_change_that_a_turn_begins() -> None:
    subject = Subject()

    async def begins_a_change() -> None:
        await subject.turns.wait("s", lambda: "first")
        subject.busy = True

    first = asyncio.create_task(begins_a_change())
    second = subject.wait("second")
    await asyncio.sleep(0)
    await subject.free()
    await first
    assert not second.done() and subject.turns.next("s") == "second"
    await subject.free()
    await second


@scenario
async def test_who_gives_up_holds_up_nobody() -> None:
    subject = Subject()
    first, second = subject.wait("first"), subject.wait("second")
    await asyncio.sleep(0)
    subject.busy = False
    subject.turns.grant("s")
    first.cancel()  # in the very moment in which it was its turn
    await second
    assert subject.order == ["second"] and first.cancelled()


@scenario
async def test_a_wish_that_is_fulfilled_is_in_nobodys_way() -> None:
    subject = Subject()
    tasks = [subject.wait("done already", fulfilled=True), subject.wait("to do")]
    await asyncio.sleep(0)
    assert subject.turns.next("s") == "to do"
    await subject.free()
    await asyncio.gather(*tasks)


@scenario
async def test_what_is_left_to_the_next_daemon_is_not_waited_for() -> None:
    subject = Subject()
    waiting = subject.wait("first")
    await asyncio.sleep(0)
    subject.turns.interrupt("s")
    with pytest.raises(errors.Interrupted):
        await waiting
