"""Hundreds of requests for few machines at once: nothing stands still, nobody is passed over, nothing is left.

``BANGER_STRESS_SEED`` repeats a run, whose seed is printed; ``BANGER_STRESS`` is the number of requests.
"""

import asyncio
import gc
import os
import random
import signal
import socket
import tarfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from banger import errors
from banger.api.operation import Operation
from banger.api.vm import CreateVm, ExecVm, KeepVm, SetVm, StopVm
from banger.engine.engine import Engine
from banger.vms.connections import Connections
from tests.installation import IMAGE, MIB, Daemon, Installation, scenario

MACHINES = ("one", "two", "three")
ACTORS = 8
REQUESTS = int(os.environ.get("BANGER_STRESS", "380"))
SEED = int(os.environ.get("BANGER_STRESS_SEED", str(time.time_ns() % 1_000_000)))
STILL = 120.0
"""Seconds after which a run stands still; nothing in it takes a hundredth of that."""

EXPECTED = (
    errors.Busy, errors.NotFound, errors.WrongState, errors.AlreadyExists, errors.Cancelled, errors.AgentLost,
    errors.VmmFailed, errors.UsageError, errors.GuestSilent, errors.GuestRefused,
)  # fmt: skip
"""What a request may meet that others have overtaken. `VmmFailed`: its machine was killed while it began."""


VERBS = (
    "create", "create", "start", "start", "stop", "kill", "delete", "set", "exec", "exec", "list", "keep", "put", "get",
)  # fmt: skip
KEPT = b"kept" * (1 << 17)


async def archive() -> AsyncIterator[bytes]:
    """A tar archive of one file, as it comes from somebody who sends it a piece at a time."""
    entry = tarfile.TarInfo("put")
    entry.size = len(KEPT)
    yield entry.tobuf()
    for at in range(0, len(KEPT), 1 << 16):
        await asyncio.sleep(0)
        yield KEPT[at : at + (1 << 16)]
    yield bytes(2 * tarfile.BLOCKSIZE)


class Turns(asyncio.SelectorEventLoop):
    """An event loop that counts its turns."""

    turn = 0

    def _run_once(self) -> None:
        self.turn += 1
        super()._run_once()  # type: ignore[misc]


def run_counted(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=Turns) as runner:
        runner.run(main)


def stacks() -> str:
    """Where every task stands."""
    told = []
    for task in asyncio.all_tasks():
        frames = " <- ".join(f"{f.f_code.co_qualname}:{f.f_lineno}" for f in reversed(task.get_stack()))
        told.append(f"{task.get_name()}: {frames}")
    return "\n".join(told)


@contextmanager
def watched() -> Iterator[None]:
    """A watchdog of the operating system's: it also bites where the loop itself stands still."""

    def bite(number: int, frame: object) -> None:
        raise AssertionError(f"seed {SEED}: it stands still\n{stacks()}")

    earlier = signal.signal(signal.SIGALRM, bite)
    signal.setitimer(signal.ITIMER_REAL, STILL)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


class Stress:
    """Actors that ask for random things of few machines, and what they met."""

    def __init__(self, daemon: Daemon, chance: random.Random, place: Path) -> None:
        self.daemon = daemon
        self.chance = chance
        self.place = place
        """What guests, which are processes of this host, read and write."""
        (place / "kept").write_bytes(KEPT)
        self.met: Counter[str] = Counter()
        self.left = REQUESTS

    async def act(self) -> None:
        while self.left > 0:
            self.left -= 1
            await asyncio.sleep(self.chance.random() * 0.1)
            verb = self.chance.choice(VERBS)
            try:
                await self._bounded(self._ask(verb, self.chance.choice(MACHINES)))
                self.met[f"{verb} done"] += 1
            except EXPECTED as error:
                self.met[f"{verb} {error.code}"] += 1
            except asyncio.CancelledError:
                self.met["given up"] += 1

    async def _bounded(self, asking: Coroutine[Any, Any, None]) -> None:
        """Some give up in the middle of waiting, at any moment of it."""
        task = asyncio.ensure_future(asking)
        if self.chance.random() < 0.2:
            asyncio.get_running_loop().call_later(self.chance.random() * 0.05, task.cancel)
        await task

    async def _ask(self, verb: str, name: str) -> None:
        vms = self.daemon.vms
        match verb:
            case "create":
                ephemeral = self.chance.random() < 0.2
                request = CreateVm(name=name, image=IMAGE, memory=256 * MIB, ephemeral=ephemeral, ttl=60)
                await self._through(await vms.create(request))
            case "start":
                await self._through(await vms.start(name))
            case "stop":
                await self._through(await vms.stop(name, StopVm(timeout=self.chance.choice((0.05, 5)))))
            case "kill":
                await self._through(await vms.kill(name))
            case "delete":
                await self._through(await vms.delete(name))
            case "set":
                await self._through(await vms.set(name, SetVm(vcpu=self.chance.randint(1, 4))))
            case "exec":
                command, _ = await vms.exec(name, ExecVm(argv=["/bin/echo", "here"]))
                assert [data async for _, data in command.output()] in ([b"here\n"], [])
                await command.wait()
            case "put":
                await vms.put(name, str(self.place), archive())
            case "get":
                found = b"".join([data async for data in vms.get(name, f"{self.place}/kept")])
                assert KEPT in found, "what comes is whole, or an error"
            case "list":
                assert {each.name for each in vms.list()} <= set(MACHINES)
            case "keep":
                await vms.keep(name, KeepVm(ttl=60))

    async def _through(self, operation: Operation) -> None:
        """To the end of a change, or back from wherever it is by then."""
        if self.chance.random() < 0.2:
            await asyncio.sleep(self.chance.random() * 0.05)
            self.daemon.engine.cancel(operation.id)
        await self.daemon.done(operation)


def test_hundreds_of_requests_for_few_machines(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    print(f"seed {SEED}")
    held: list[int] = []
    begin = Engine.begin

    def counted(self: Engine, *arguments: Any, **named: Any) -> Operation:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Turns)
        before = loop.turn
        try:
            return begin(self, *arguments, **named)
        finally:
            held.append(loop.turn - before)

    monkeypatch.setattr(Engine, "begin", counted)

    async def main() -> None:
        async with installation.daemon() as daemon:
            stress = Stress(daemon, random.Random(SEED), tmp_path)
            await asyncio.gather(*(stress.act() for _ in range(ACTORS)))
            print(f"seed {SEED}: {dict(sorted(stress.met.items()))}")
            verbs = {each.split()[0] for each in stress.met if each.endswith("done")}
            assert {"create", "start", "stop", "kill", "delete", "set", "exec", "list"} <= verbs
            assert {"put", "get"} & verbs
            assert stress.met["given up"] > 0
            await every_change_ends(daemon)
            assert not any(lock.locked() for lock in locks())
            for name in daemon.names():
                await daemon.done(await daemon.vms.delete(name))
            assert installation.machine_files() == []

    with watched():
        run_counted(main())
    assert set(held) == {0}, "who is registered is decided within one turn of the loop"


async def every_change_ends(daemon: Daemon) -> None:
    while under_way := [each for each in daemon.engine.operations() if not each.ended]:
        for each in under_way:
            try:
                await daemon.done(each)
            except errors.BangerError:
                continue


def locks() -> list[asyncio.Lock]:
    return [each for each in gc.get_objects() if isinstance(each, asyncio.Lock)]


@scenario
async def test_no_lock_is_held_across_a_download_or_a_boot(installation: Installation) -> None:
    """One machine waits for a registry that says nothing, one for an agent that says nothing; others live on."""
    with socket.create_server(("127.0.0.1", 0)) as silent, watched():
        installation.answer("/bin/cat")
        async with installation.daemon() as daemon:
            port = silent.getsockname()[1]
            stuck = [
                await daemon.vms.create(CreateVm(name="loads", image=f"127.0.0.1:{port}/nothing:1")),
                await daemon.vms.create(CreateVm(name="boots", image=IMAGE, memory=256 * MIB)),
            ]
            await daemon.until(lambda: daemon.engine.operation(stuck[1].id).stage == "waiting for the guest")
            await daemon.until(lambda: daemon.engine.operation(stuck[0].id).step == "image")
            installation.answer()
            held = [each for each in locks() if each.locked()]
            connections: Connections = daemon.vms._parts.connections
            assert held == [connections._locks[daemon.vms.show("boots").id]], "of the machine's own attachment alone"
            await daemon.create("lives")
            assert await daemon.run("lives", "/bin/echo", "here") == (0, "here\n")
            await daemon.done(await daemon.vms.stop("lives", StopVm(timeout=5)))
            await daemon.done(await daemon.vms.delete("lives"))
            assert sorted(daemon.names()) == ["boots", "loads"]
            for each in stuck:
                assert not daemon.engine.operation(each.id).ended, "they wait still"
                daemon.engine.cancel(each.id)
                with pytest.raises(errors.Cancelled):
                    await daemon.done(each)
            assert daemon.names() == [] and installation.machine_files() == []


@scenario
async def test_whoever_waits_for_a_machine_comes_to_his_turn(installation: Installation) -> None:
    """The daemon's own wish, to delete an ephemeral machine that nobody holds, beside a client that never stops."""
    async with installation.daemon() as daemon:
        await daemon.create("one", ephemeral=True)
        turns = 0
        vm_id = daemon.vms.show("one").id
        change = await daemon.vms.set("one", SetVm(vcpu=1))
        daemon.vms._unwanted(vm_id)
        with watched():
            while "one" in daemon.names():
                try:
                    change = await daemon.vms.set("one", SetVm(vcpu=1 + turns % 2))
                    turns += 1
                    await daemon.done(change)
                except errors.Busy:
                    await asyncio.sleep(0)
                except errors.NotFound:
                    break
        assert turns <= 1, "it was passed over"
