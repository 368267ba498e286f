"""How guests are connected: what is asked of root, how often, and what is left when it cannot be done."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from banger import errors
from banger.helper.operation import Operation, Outcome
from banger.net.nameserver import Server
from banger.net.pool import TapPool
from banger.net.service import Guest, GuestNetwork
from banger.net.zone import Zone
from banger.privileged.installation import Host
from banger.privileged.operations import Bridge, Rules, Standing, Tap


class Recorder:
    """Performs nothing, writes everything down, and knows which taps there are."""

    host = Host(owner_uid=1, owner_gid=1)

    def __init__(self) -> None:
        self.done: list[Operation] = []
        self.taps: set[str] = set()
        self.fails: type[Operation] | None = None
        self.at_once = self.most = 0

    async def perform(self, operation: Operation, *, descriptors: object = (), change: str = "") -> Outcome:
        self.at_once += type(operation) is Rules
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= type(operation) is Rules
        if self.fails is not None and isinstance(operation, self.fails):
            raise errors.PrivilegeFailed(operation=operation.NAME, reason="as told", busy=False)
        self.done.append(operation)
        if isinstance(operation, Tap):
            self.taps.add(operation.name)
        missing = (
            [each.tap for each in operation.guests if each.tap not in self.taps] if isinstance(operation, Rules) else []
        )
        return Outcome({"changed": True, "repaired": [], "missing": missing})

    async def revert(self, operation: Operation, *, change: str = "") -> None:
        if isinstance(operation, Tap):
            self.taps.discard(operation.name)

    def rules(self) -> list[Rules]:
        return [each for each in self.done if type(each) is Rules]


def network(root: Recorder, pool: int = 0) -> GuestNetwork:
    server = Server(Zone(lambda _: [], lambda _: None))
    return GuestNetwork(root, server, port=0, upstream="192.0.2.53", pool_size=pool, taken=lambda: ())


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test(), 30)

    asyncio.run(bounded())


def test_a_guest_is_connected_rules_last() -> None:
    async def test() -> None:
        root = Recorder()
        made = await network(root).connect(Guest(slot=3, nat=True))
        assert made == ("tap-fc-3", "172.16.0.5/24", "172.16.0.1", "192.0.2.53", "02:fc:ac:10:00:05")
        assert list(map(type, root.done)) == [Bridge, Tap, Rules]
        (rule,) = root.rules()[0].guests
        assert (rule.tap, rule.address, rule.mac, rule.nat, rule.peers) == (
            "tap-fc-3", "172.16.0.5", "02:fc:ac:10:00:05", True, False,
        )  # fmt: skip

    run(test)


def test_many_at_once_share_transactions() -> None:
    async def test() -> None:
        root = Recorder()
        ours = network(root)
        await asyncio.gather(*(ours.connect(Guest(slot=slot)) for slot in range(50)))
        assert len([each for each in root.done if isinstance(each, Bridge)]) == 1
        assert len(root.rules()) <= 5
        assert root.most == 1
        assert {each.tap for each in root.rules()[-1].guests} == {f"tap-fc-{slot}" for slot in range(50)}
        await asyncio.gather(*(ours.disconnect(slot) for slot in range(49)))
        assert [each.tap for each in root.rules()[-1].guests] == ["tap-fc-49"]
        await ours.change(Guest(slot=49, peers=True))
        assert root.rules()[-1].guests[0].peers

    run(test)


@pytest.mark.parametrize("fails", [Bridge, Tap, Rules])
def test_what_cannot_be_connected_is_not_on_the_network(fails: type[Operation]) -> None:
    async def test() -> None:
        root = Recorder()
        ours = network(root)
        await ours.connect(Guest(slot=0))
        root.fails = fails
        if fails is Bridge:
            ours = network(root)
        with pytest.raises(errors.PrivilegeFailed, match="as told"):
            await ours.connect(Guest(slot=1))
        root.fails = None
        await ours.connect(Guest(slot=2))
        assert "tap-fc-1" not in {each.tap for each in root.rules()[-1].guests}
        await ours.connect(Guest(slot=1))

    run(test)


def test_who_gives_up_waiting_leaves_the_others_alone() -> None:
    async def test() -> None:
        root = Recorder()
        ours = network(root)
        await ours.connect(Guest(slot=0))
        waiting = [asyncio.create_task(ours.connect(Guest(slot=slot))) for slot in (1, 2)]
        await asyncio.sleep(0.015)
        waiting[0].cancel()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError)
        await ours.change(Guest(slot=0, nat=True))
        assert {each.tap for each in root.rules()[-1].guests} == {"tap-fc-0", "tap-fc-2"}

    run(test)


def test_an_earlier_daemons_guests_are_taken_over() -> None:
    async def test() -> None:
        root = Recorder()
        ours = network(root)
        await ours.recover([])
        assert root.done == [], "a host without guests is left alone"
        await ours.recover([Guest(slot=0), Guest(slot=4, nat=True)])
        assert {each.tap for each in root.rules()[-1].guests} == {"tap-fc-0", "tap-fc-4"}

    run(test)


def test_a_tap_that_somebody_removed_is_made_anew() -> None:
    async def test() -> None:
        root = Recorder()
        ours = network(root)
        await ours.connect(Guest(slot=0))
        await ours.disconnect(0)
        root.taps.clear()
        await ours.connect(Guest(slot=0))
        assert root.taps == {"tap-fc-0"}

    run(test)


def test_the_network_is_full() -> None:
    async def test() -> None:
        root = Recorder()
        with pytest.raises(errors.NetworkFull):
            await network(root).connect(Guest(slot=253))
        assert root.done == []

    run(test)


def test_the_pool_makes_what_the_next_machines_get() -> None:
    async def test() -> None:
        root = Recorder()
        ours = network(root, pool=3)
        await ours.connect(Guest(slot=1))
        await ours.pool.settle()
        assert ours.pool.idle == {0, 2, 3}
        made = len([each for each in root.done if isinstance(each, Tap)])
        await ours.connect(Guest(slot=0))
        await ours.pool.settle()
        assert len([each for each in root.done if isinstance(each, Tap)]) == made + 1, "one more, for later"
        await ours.close()

    run(test)


class Maker:
    """Makes and removes taps, and fails as told."""

    def __init__(self) -> None:
        self.there: set[int] = set()
        self.asked = 0
        self.at_once = self.most = 0
        self.failing = False

    async def create(self, slot: int) -> None:
        self.asked += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        if self.failing:
            raise errors.HelperUnavailable(reason="as told")
        assert slot not in self.there, "made twice"
        self.there.add(slot)

    async def remove(self, slot: int) -> None:
        self.there.remove(slot)


def test_the_warmer_is_one_bounded_and_gives_up() -> None:
    async def test() -> None:
        maker = Maker()
        pool = TapPool(10, maker.create, maker.remove)
        for _ in range(5):
            pool.warm((), 100)
        await pool.settle()
        assert (maker.most, maker.asked, pool.idle) == (4, 10, set(range(10)))
        maker.failing = True
        pool.warm(range(50), 100)
        await pool.settle()
        assert maker.asked == 14, "a batch that fails is the last"
        pool.warm(range(50), 52)
        await pool.close()

    run(test)


def test_a_slots_tap_is_never_made_and_taken_at_once() -> None:
    async def test() -> None:
        maker = Maker()
        pool = TapPool(4, maker.create, maker.remove)
        pool.warm((), 100)
        await asyncio.sleep(0)
        await asyncio.gather(*(pool.obtain(slot) for slot in range(6)))
        await pool.settle()
        assert pool.used == set(range(6))
        assert not pool.idle & pool.used
        assert maker.asked == 6

    run(test)


def test_far_more_than_the_pool_is_taken_away() -> None:
    async def test() -> None:
        maker = Maker()
        pool = TapPool(2, maker.create, maker.remove)
        for slot in range(10):
            await pool.obtain(slot)
        for slot in range(10):
            pool.give_back(slot)
        pool.warm((), 100)
        await pool.settle()
        assert maker.there == pool.idle == {0, 1, 2, 3}
        pool.give_back(77)
        assert 77 not in pool.idle, "what was not obtained is not given back"

    run(test)


def test_whether_the_rules_stand_is_asked_for_what_is_wanted_at_that_moment() -> None:
    async def test() -> None:
        root = Recorder()
        made = network(root)
        assert await made.standing() is None and root.done == []
        await made.connect(Guest(slot=1))
        connecting = asyncio.ensure_future(made.connect(Guest(slot=2)))
        while len(root.rules()) < 2 and not connecting.done():
            assert await made.standing() is not None
            (*_, asked) = [each for each in root.done if isinstance(each, Standing)]
            assert asked.guests == root.rules()[-1].guests, "never in the middle of a change"
        await connecting
        assert await made.standing() is not None
        last = root.done[-1]
        assert isinstance(last, Standing) and [each.tap for each in last.guests] == ["tap-fc-1", "tap-fc-2"]

    run(test)
