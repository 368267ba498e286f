"""Who still wants an ephemeral machine."""

import asyncio
from collections.abc import Callable, Coroutine

from banger.vms.holds import Holds


def play(scene: Callable[[Holds, list[str]], Coroutine[None, None, None]], grace: float = 60.0) -> list[str]:
    """Play a scene; which machines were given up, in order."""
    expired: list[str] = []

    async def run() -> None:
        await scene(Holds(expired.append, grace), expired)

    asyncio.run(run())
    return expired


def test_the_last_one_counts() -> None:
    async def scene(holds: Holds, expired: list[str]) -> None:
        with holds.hold("a"):
            with holds.hold("a"), holds.hold("b"):
                pass
            assert expired == ["b"]

    assert play(scene) == ["b", "a"]


def test_nobody_comes() -> None:
    async def scene(holds: Holds, expired: list[str]) -> None:
        holds.await_first("a")
        while not expired:  # noqa: ASYNC110 - it is a list
            await asyncio.sleep(0.001)

    assert play(scene, grace=0.0) == ["a"]


def test_somebody_comes_in_time() -> None:
    async def scene(holds: Holds, expired: list[str]) -> None:
        holds.await_first("a")
        with holds.hold("a"):
            holds.await_first("a")
            for _ in range(5):
                await asyncio.sleep(0)
            assert expired == []

    assert play(scene, grace=0.0) == ["a"]


def test_a_machine_that_is_gone_is_not_given_up_again() -> None:
    async def scene(holds: Holds, expired: list[str]) -> None:
        with holds.hold("a"):
            holds.forget("a")
        holds.await_first("b")
        holds.forget("b")
        await asyncio.sleep(0.01)

    assert play(scene, grace=0.0) == []


def test_after_the_end_nothing_is_given_up() -> None:
    async def scene(holds: Holds, expired: list[str]) -> None:
        holds.await_first("a")
        with holds.hold("b"):
            holds.close()
        await asyncio.sleep(0.01)

    assert play(scene, grace=0.0) == []
