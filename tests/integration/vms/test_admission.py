"""What is judged before it begins: many at once against a limit, the last bytes, and what is begun all the same."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from banger import errors
from banger.admission import ledger
from banger.api.image import PullImage
from banger.api.operation import Operation
from banger.api.vm import CreateVm, SetVm, StopVm
from banger.config.sizes import GIB, TIB
from tests import guest_images
from tests.installation import IMAGE, MIB, Daemon, Installation, scenario


async def together(daemon: Daemon, count: int, **fields: Any) -> list[Operation | BaseException]:
    """That many machines, asked for at once."""
    fields = {"image": IMAGE, "memory": 256 * MIB, "start": False, **fields}
    asked = [daemon.vms.create(CreateVm(name=f"vm-{number}", **fields)) for number in range(count)]
    return await asyncio.gather(*asked, return_exceptions=True)


async def ended(daemon: Daemon, begun: list[Operation | BaseException]) -> list[Operation]:
    """What was begun, when it is done."""
    return await asyncio.gather(*(daemon.done(each) for each in begun if isinstance(each, Operation)))


@scenario
async def test_of_fifty_at_once_exactly_as_many_as_are_allowed_begin(installation: Installation) -> None:
    async with installation.daemon(machine_limit=10) as daemon:
        found = await together(daemon, 50)
        assert sum(isinstance(each, errors.LimitReached) for each in found) == 40
        assert len(await ended(daemon, found)) == 10
        assert len(daemon.vms.list()) == len(os.listdir(installation.paths.vms)) == 10
        with pytest.raises(errors.LimitReached, match="there are 10 machines, and machine_limit allows 10"):
            await daemon.create("another")
        await daemon.done(await daemon.vms.delete("vm-0" if "vm-0" in daemon.names() else daemon.names()[0]))
        await daemon.create("another", start=False)


@scenario
async def test_of_two_who_ask_for_one_name_at_once_one_is_refused(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        request = CreateVm(name="one", image=IMAGE, memory=256 * MIB, start=False)
        found = await asyncio.gather(*(daemon.vms.create(request) for _ in range(2)), return_exceptions=True)
        assert sorted(type(each).__name__ for each in found) == ["AlreadyExists", "Operation"]
        await ended(daemon, found)


@scenario
async def test_the_last_bytes_are_given_once(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    async with installation.daemon(root_strategy="copy") as daemon:
        image = daemon.images.show(IMAGE).allocated
        monkeypatch.setattr(ledger, "disk", lambda path: (TIB, 2 * image))
        monkeypatch.setattr(ledger, "written", lambda place: 0)
        found = await together(daemon, 3)
        (refused,) = (each for each in found if isinstance(each, BaseException))
        assert isinstance(refused, errors.NoRoom) and refused.data["needed"] == 3 * image
        assert all("machines may come to write" in each.notices[0] for each in found if isinstance(each, Operation))
        assert len(await ended(daemon, found)) == 2


@scenario
async def test_memory_is_promised_to_machines_that_run_or_start(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "memory", lambda root: (GIB, GIB // 8))
    async with installation.daemon(memory_overcommit=1.0) as daemon:
        found = await together(daemon, 4, memory=512 * MIB, start=True)
        assert sum(isinstance(each, errors.NoRoom) for each in found) == 2
        begun = await ended(daemon, found)
        assert all("128 MiB left" in each.notices[0] or "0 B left" in each.notices[0] for each in begun)
        name = begun[0].subject
        await daemon.create("third", memory=512 * MIB, start=False)
        with pytest.raises(errors.NoRoom, match=r"1\.5 GiB of memory, which is more than 1 times the host's 1 GiB"):
            await daemon.vms.start("third")
        await daemon.done(await daemon.vms.restart(name, StopVm()))
        await daemon.done(await daemon.vms.set(name, SetVm(memory=600 * MIB)))
        with pytest.raises(errors.NoRoom):
            await daemon.vms.restart(name, StopVm())
        await daemon.done(await daemon.vms.kill(name))
        await daemon.done(await daemon.vms.start("third"))


@scenario
async def test_what_only_makes_room_may_use_the_reserve(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    layout = guest_images.busybox(tmp_path / "layout")
    async with installation.daemon(disk_reserve=None) as daemon:
        monkeypatch.setattr(ledger, "disk", lambda path: (TIB, TIB))
        await daemon.create()
        await daemon.done(await daemon.vms.kill("one"))
        monkeypatch.setattr(ledger, "disk", lambda path: (TIB, 100 * MIB))
        with pytest.raises(errors.NoRoom, match="512 MiB stay in reserve"):
            await daemon.create("two")
        with pytest.raises(errors.NoRoom):
            await daemon.images.pull(PullImage(reference=layout, name="bb"))
        assert len(daemon.engine.operations()) == 3, "nothing was begun"
        await daemon.done(await daemon.vms.start("one"))
        await daemon.done(await daemon.vms.delete("one"))
