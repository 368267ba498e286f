"""The door to other programs: children that talk without end are ended like all others."""

import asyncio
import time

import pytest

from banger import errors, proc

TALKATIVE = ["sh", "-c", "yes & yes >&2"]


def test_a_child_that_says_too_much_is_ended() -> None:
    with pytest.raises(errors.ToolFailed, match="more than 1048576 bytes"):
        asyncio.run(asyncio.wait_for(proc.run(TALKATIVE, limit=1 << 20), 60))


def test_a_talkative_child_is_ended_by_its_time_limit() -> None:
    with pytest.raises(errors.TimedOut):
        asyncio.run(asyncio.wait_for(proc.run(TALKATIVE, timeout=0.3), 60))


def test_a_talkative_child_is_ended_by_cancelling() -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(proc.run(TALKATIVE, on_line=lambda line: time.sleep(0.0001)))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 60)

    asyncio.run(cancelled())
