"""What the helper's answers mean to the driver."""

import asyncio
from collections.abc import Sequence

import pytest

from banger import errors
from banger.helper.host import Host
from banger.helper.operation import Operation, Outcome
from banger.vmm.firecracker.jail import Jail

ID = "0123456789abcdef"


class Answering:
    """A helper that gives one answer."""

    host = Host(owner_uid=0, owner_gid=0)

    def __init__(self, answer: Outcome | errors.BangerError) -> None:
        self._answer = answer

    async def perform(self, operation: Operation, *, descriptors: Sequence[int] = (), change: str = "") -> Outcome:
        if isinstance(self._answer, errors.BangerError):
            raise self._answer
        return self._answer

    async def revert(self, operation: Operation, *, change: str = "") -> None:
        await self.perform(operation)


@pytest.mark.parametrize(
    ("limits", "killed"),
    [
        ({"memory.events": "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0"}, True),
        ({"memory.events": "low 0\nhigh 0\nmax 12\noom 0\noom_kill 0"}, False),
        ({"memory.events": "something else"}, False),
        ({"memory.max": "1"}, False),
        (None, False),
    ],
)
def test_the_kernels_count_of_those_killed_for_memory(limits: object, killed: bool) -> None:
    jail = Jail(Answering(Outcome({"limits": limits})))
    assert asyncio.run(jail.killed_for_memory(ID)) is killed


def test_a_helper_that_is_away_has_counted_nothing() -> None:
    away = errors.HelperUnavailable(reason="no such file")
    assert not asyncio.run(Jail(Answering(away)).killed_for_memory(ID))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            errors.PrivilegeFailed(operation="o", reason="the store: No space left on device", busy=False),
            errors.DiskFull,
        ),
        (errors.PrivilegeFailed(operation="o", reason="there is no device", busy=False), errors.VmmFailed),
        (errors.PrivilegeRefused(operation="o", reason="the slot is taken"), errors.VmmFailed),
        (errors.HelperUnavailable(reason="no such file"), errors.HelperUnavailable),
    ],
)
def test_a_refusal_is_told_of_the_machine(answer: errors.BangerError, told: type[errors.BangerError]) -> None:
    with pytest.raises(told) as raised:
        asyncio.run(Jail(Answering(answer)).connect(ID, "api"))
    if told is errors.VmmFailed:
        assert str(answer.data["reason"]) in raised.value.message
