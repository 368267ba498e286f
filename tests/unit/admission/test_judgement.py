"""What is admitted, what is said aloud, and what is refused, with numbers that a program can read."""

import json
from typing import Any

import pytest

from banger import errors
from banger.admission.judgement import OWN_RESERVE, Facts, Limits, Machine, Wish, judge, reserve
from banger.config.sizes import GIB, MIB
from banger.engine.failure import error_body

ONE = Machine("1", "one", GIB, running=True, virtual=12 * GIB, written=lambda: 4 * GIB)
CREATE = Wish("2", disk=30 * MIB, machine="2", name="two", memory=GIB, virtual=8 * GIB)


def facts(**changed: Any) -> Facts:
    """A host with room."""
    return Facts("/state", size=100 * GIB, free=50 * GIB, memory=8 * GIB, available=6 * GIB)._replace(**changed)


def refused(wish: Wish, of: Facts, limits: Limits = Limits()) -> dict[str, Any]:  # noqa: B008 - it is immutable
    """The data of the refusal, as a program gets it; it has a hint."""
    with pytest.raises((errors.NoRoom, errors.LimitReached)) as caught:
        judge(wish, of, limits)
    body = error_body(caught.value)
    assert body.hint and "None" not in body.message
    told: dict[str, Any] = json.loads(json.dumps(body.data))
    return told


def test_what_fits_is_admitted_without_a_word() -> None:
    assert judge(CREATE, facts(machines=[ONE]), Limits()) == []


def test_a_disk_may_be_promised_and_is_said_to_be() -> None:
    tight = facts(free=10 * GIB, machines=[ONE])
    (notice,) = judge(CREATE, tight, Limits())
    assert "more to their disks than the 10 GiB that are free" in notice
    assert judge(CREATE, facts(free=17 * GIB, machines=[ONE]), Limits()) == [], "what is written already is not to come"
    assert judge(Wish("1", machine="1", reserved=False), tight, Limits()) == [], "who adds nothing is not told"
    other = Wish("3", machine="3", name="three", virtual=40 * GIB)
    assert "50 GiB that are free" in judge(CREATE, facts(machines=[ONE], claims=[other]), Limits())[0]


def test_less_than_is_certain_to_be_written_is_refused() -> None:
    enough = 30 * MIB + OWN_RESERVE
    assert "are free" in judge(CREATE, facts(free=enough), Limits())[0]
    assert refused(CREATE, facts(free=enough - 1)) == {
        "reason": "542 MiB of the disk that holds /state are free: 30 MiB are needed, and 512 MiB stay in reserve "
        "(disk_reserve)",
        "resource": "disk",
        "needed": enough,
        "available": enough - 1,
    }  # fmt: skip
    other = Wish("3", disk=MIB)
    assert refused(CREATE, facts(free=enough, claims=[other]))["needed"] == enough + MIB
    begun = facts(free=enough + MIB - 4096, claims=[other], written=lambda claim: 4096)
    assert judge(CREATE, begun, Limits()), "what is written already is not to come"
    assert refused(CREATE, begun._replace(free=enough + MIB - 4097))["needed"] == enough + MIB - 4096
    assert refused(CREATE, facts(free=enough - 1, claims=[other], written=lambda claim: GIB))["needed"] == enough


def test_the_reserve_is_there_for_who_makes_room() -> None:
    start = Wish("1", disk=30 * MIB, machine="1", memory=GIB, reserved=False)
    assert judge(start, facts(free=30 * MIB), Limits()) == []
    assert refused(start, facts(free=30 * MIB - 1))["needed"] == 30 * MIB


def test_a_reserve_of_ones_own() -> None:
    assert reserve(2 * GIB, Limits()) == 2 * GIB // 20
    assert judge(Wish("image"), facts(free=0), Limits(reserve=0)) == []
    assert refused(Wish("image"), facts(), Limits(reserve=60 * GIB))["needed"] == 60 * GIB
    larger = refused(Wish("image"), facts(), Limits(reserve=200 * GIB))
    assert larger["reason"] == "disk_reserve is 200 GiB, and the disk that holds /state has 100 GiB"


def test_memory_that_is_not_free_is_said_and_memory_beyond_the_factor_refused() -> None:
    (notice,) = judge(CREATE, facts(available=GIB // 2), Limits())
    assert "512 MiB left" in notice
    coming = Wish("3", machine="3", memory=5 * GIB)
    assert "1 GiB left" in judge(CREATE._replace(memory=2 * GIB), facts(claims=[coming]), Limits())[0]
    told = refused(CREATE, facts(machines=[ONE._replace(memory=31 * GIB + 1)]))
    assert (told["resource"], told["needed"], told["available"]) == ("memory", 32 * GIB + 1, 32 * GIB)
    assert judge(CREATE, facts(machines=[ONE._replace(memory=31 * GIB, running=False)]), Limits()) == []


def test_a_machine_is_counted_once() -> None:
    again = Wish("1", machine="1", memory=GIB, reserved=False)
    full = facts(memory=GIB, machines=[ONE], claims=[again], available=0)
    assert judge(again, full, Limits(overcommit=1.0)) == []
    assert refused(again._replace(memory=GIB + 1), full, Limits(overcommit=1.0))["needed"] == GIB + 1


def test_limits_of_the_owners() -> None:
    two = facts(machines=[ONE, ONE._replace(id="9", name="", running=True)])
    assert judge(CREATE, two, Limits(machines=2)) == [], "a machine of a change's own is not counted"
    told = refused(CREATE, two, Limits(machines=1))
    assert (told["setting"], told["limit"], told["asked"]) == ("machine_limit", 1, 2)
    told = refused(CREATE, two, Limits(memory=2 * GIB))
    assert (told["setting"], told["limit"], told["asked"]) == ("memory_limit", 2 * GIB, 3 * GIB)
    assert judge(CREATE._replace(memory=0), two, Limits(memory=1)) == [], "one that does not start takes none"


def test_a_name_that_is_promised_is_taken() -> None:
    with pytest.raises(errors.AlreadyExists):
        judge(CREATE, facts(claims=[Wish("3", machine="3", name="two")]), Limits())
    with pytest.raises(errors.AlreadyExists):
        judge(CREATE, facts(machines=[ONE._replace(name="two")]), Limits())


@pytest.mark.parametrize(
    "strange",
    [
        {"memory": None, "available": None},
        {"available": 0},
        {"size": 0, "free": 1 << 70},
        {"free": 1 << 80, "size": -5, "memory": 1 << 80},
    ],
)
def test_strange_facts_keep_nobody_out(strange: dict[str, Any]) -> None:
    judge(CREATE, facts(**strange), Limits())


def test_a_negative_amount_gives_nobody_anything() -> None:
    below = Wish("3", disk=-(1 << 60), virtual=-5)
    assert refused(CREATE, facts(free=MIB, claims=[below]))["needed"] == 30 * MIB + OWN_RESERVE
    assert refused(CREATE, facts(free=-1))["available"] == -1
