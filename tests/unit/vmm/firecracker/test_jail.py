"""What the helper's answers mean to the driver."""

import asyncio
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from banger import errors
from banger.helper.host import Host
from banger.helper.launch import Launch
from banger.helper.operation import Operation, Outcome
from banger.helper.store import PruneStore, StoreFile
from banger.vmm.driver import LaunchSpec, Limits
from banger.vmm.firecracker.jail import Jail

ID = "0123456789abcdef"


class Answering:
    """A helper that gives one answer."""

    host = Host(owner_uid=0, owner_gid=0)

    def __init__(self, answer: Outcome | errors.BangerError) -> None:
        self._answer = answer
        self._launched: Outcome | errors.BangerError = answer
        self.asked: list[Operation] = []

    def launches(self, answer: Outcome | errors.BangerError) -> None:
        """What a launch is answered from now on."""
        self._launched = answer

    async def perform(self, operation: Operation, *, descriptors: Sequence[int] = (), change: str = "") -> Outcome:
        self.asked.append(operation)
        answer = self._launched if isinstance(operation, Launch) else self._answer
        if isinstance(answer, errors.BangerError):
            raise answer
        return answer

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


def test_what_machines_share_is_stored_once_until_a_launch_fails(tmp_path: Path) -> None:
    for name in ("kernel", "initrd"):
        (tmp_path / name).write_text(name)
    spec = LaunchSpec(
        vm_id=ID, directory=str(tmp_path), runtime=str(tmp_path), kernel=str(tmp_path / "kernel"),
        initrd=str(tmp_path / "initrd"), cmdline=(), vcpus=2, memory=64 << 20, drives=(),
        limits=Limits(io_bytes=1 << 20, io_operations=100),
    )  # fmt: skip

    def launched() -> Outcome:
        return Outcome({"pid": 1, "start_ticks": 1}, (0, socket.socket(socket.AF_UNIX).detach()))

    helper = Answering(launched())
    jail = Jail(helper)

    def stored() -> list[str]:
        helper.asked.clear()
        asyncio.run(jail.launch(spec, 1)).api.close()
        asked = helper.asked[-1]
        assert isinstance(asked, Launch)
        assert (asked.cpu_weight, asked.io_bytes, asked.io_operations) == (200, 1 << 20, 100)
        return [Path(each.path).name for each in helper.asked if isinstance(each, StoreFile)]

    assert stored() == ["kernel"]
    helper.launches(launched())
    assert stored() == []
    helper.launches(errors.PrivilegeFailed(operation="machine.launch", reason="it is not in the store", busy=False))
    with pytest.raises(errors.VmmFailed, match="not in the store"):
        asyncio.run(jail.launch(spec, 1))
    helper.launches(launched())
    assert stored() == ["kernel"]


def test_the_store_is_pruned_once_a_day_and_beside_no_other_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kernel").write_text("kernel")
    (tmp_path / "initrd").write_text("initrd")
    spec = LaunchSpec(
        vm_id=ID, directory=str(tmp_path), runtime=str(tmp_path), kernel=str(tmp_path / "kernel"),
        initrd=str(tmp_path / "initrd"), cmdline=(), vcpus=2, memory=64 << 20, drives=(),
    )  # fmt: skip
    now = 100.0
    monkeypatch.setattr(time, "clock_gettime", lambda _: now)
    helper = Answering(Outcome({}))
    helper.launches(errors.PrivilegeFailed(operation="machine.launch", reason="none here", busy=False))
    jail = Jail(helper)

    async def launch(count: int) -> list[type[Operation]]:
        helper.asked.clear()
        await asyncio.gather(*(jail.launch(spec, 1) for _ in range(count)), return_exceptions=True)
        return [type(each) for each in helper.asked if isinstance(each, PruneStore | StoreFile)]

    assert asyncio.run(launch(1)) == [PruneStore, StoreFile]
    assert PruneStore not in asyncio.run(launch(3))
    now += 86_400
    found = asyncio.run(launch(3))
    assert found.count(PruneStore) == 1 and found[0] is PruneStore
    now += 86_399
    assert PruneStore not in asyncio.run(launch(1))
