"""One machine for one token, whoever asks how often and whatever dies meanwhile."""

import asyncio

import pytest

from banger import errors
from banger.api.operation import Operation
from banger.api.vm import CreateVm
from banger.store.database import Database
from tests.installation import IMAGE, MIB, Daemon, Installation, scenario

WORD = "build-4711"


async def ask(daemon: Daemon, token: str = WORD, **fields: object) -> Operation:
    return await daemon.vms.create(CreateVm(image=IMAGE, memory=256 * MIB, start=False, token=token, **fields))  # type: ignore[arg-type]


@scenario
async def test_any_number_of_requests_at_once_make_one_machine(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        begun = await asyncio.gather(*(ask(daemon) for _ in range(20)))
        assert len({each.id for each in begun}) == 1
        await daemon.done(begun[0])
        assert (await ask(daemon)).id == begun[0].id
        other = await ask(daemon, "other")
        assert other.id != begun[0].id
        await daemon.done(other)
        assert len(daemon.names()) == 2


@scenario
async def test_a_token_stands_for_its_request(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        operation, racing = await asyncio.gather(ask(daemon), ask(daemon, vcpu=2), return_exceptions=True)
        assert isinstance(racing, errors.TokenReused)
        assert isinstance(operation, Operation)
        await daemon.done(operation)
        for other in ({"vcpu": 2}, {"name": "named"}, {"labels": {"a": "b"}}):
            with pytest.raises(errors.TokenReused):
                await ask(daemon, **other)
        assert daemon.names() == [operation.subject]
        await daemon.done(await daemon.vms.delete(operation.subject))
        await daemon.done(await ask(daemon, vcpu=2))


@scenario
async def test_another_daemon_knows_it_also_when_the_creation_is_forgotten(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        operation = await ask(daemon)
        await daemon.done(operation)
    async with installation.daemon() as daemon:
        assert (await ask(daemon)).id == operation.id
    database = Database(installation.paths.database)
    database.execute("DELETE FROM operations")
    database.close()
    async with installation.daemon() as daemon:
        told = await daemon.done(await ask(daemon))
        assert (told.subject, told.subject_id) == (operation.subject, operation.subject_id)
        assert told.notices == [f"{operation.subject} is there already"]
        assert daemon.names() == [operation.subject]


@scenario
async def test_a_creation_that_was_undone_leaves_its_token_free(installation: Installation) -> None:
    installation.answer("/bin/cat")
    async with installation.daemon() as daemon:
        operation = await daemon.vms.create(CreateVm(name="one", image=IMAGE, token=WORD))
        await daemon.until(lambda: daemon.engine.operation(operation.id).stage == "waiting for the guest")
        assert (await daemon.vms.create(CreateVm(name="one", image=IMAGE, token=WORD))).id == operation.id
    installation.answer()
    async with installation.daemon() as daemon:  # the one before died in the middle
        again = await daemon.vms.create(CreateVm(name="one", image=IMAGE, token=WORD))
        assert again.id != operation.id
        await daemon.done(again)
        with pytest.raises(errors.AlreadyExists):
            await ask(daemon, "fails", name="one")
        await daemon.done(await ask(daemon, "fails"))


@pytest.mark.parametrize("token", ["", " ", "a b", "a\n", "\x1b", "\u00e9", "x" * 129])
@scenario
async def test_what_is_no_token(installation: Installation, token: str) -> None:
    async with installation.daemon() as daemon:
        with pytest.raises(errors.UsageError):
            await ask(daemon, token)
