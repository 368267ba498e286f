"""Whatever is asked for in whatever order: limits hold, more room never refuses, and a refusal can be sent."""

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from banger import errors
from banger.admission.judgement import Facts, Limits, Machine, Wish, judge
from banger.engine.failure import error_body

ANY = st.integers(-(1 << 66), 1 << 66)
IDS = st.sampled_from("abcdef")
WISHES = st.builds(
    Wish, subject=IDS, disk=ANY, reserved=st.booleans(), machine=IDS, name=st.sampled_from(["", "x", "y", "z"]),
    memory=ANY, virtual=ANY,
)  # fmt: skip
MACHINES = st.builds(
    Machine, id=IDS, name=st.sampled_from(["", "x"]), memory=ANY, running=st.booleans(), virtual=ANY,
    written=ANY.map(lambda count: lambda: count),
)  # fmt: skip
FACTS = st.builds(
    Facts, path=st.just("/state"), size=ANY, free=ANY, memory=st.none() | ANY, available=st.none() | ANY,
    machines=st.lists(MACHINES, max_size=4), claims=st.lists(WISHES, max_size=4),
)  # fmt: skip
LIMITS = st.builds(
    Limits, machines=st.integers(0, 5), memory=st.integers(0, 1 << 40), overcommit=st.floats(0.1, 1000),
    reserve=st.none() | st.integers(0, 1 << 50),
)  # fmt: skip


def admitted(wish: Wish, facts: Facts, limits: Limits) -> bool:
    try:
        notices = judge(wish, facts, limits)
    except errors.BangerError as error:
        body = error_body(error)
        assert type(error) is not errors.InternalError
        assert body.hint and msgspec.json.encode(body)
        return False
    assert all(isinstance(each, str) and each for each in notices)
    return True


@given(WISHES, FACTS, LIMITS)
def test_every_judgement_is_notices_or_an_error_that_can_be_sent(wish: Wish, facts: Facts, limits: Limits) -> None:
    admitted(wish, facts, limits)


@given(WISHES, FACTS, LIMITS, st.integers(0, 1 << 66))
@example(
    Wish("a", reserved=False, machine="a", memory=2),
    Facts("/state", 0, 0, None, None, [Machine("b", "", -1, running=True, virtual=0)]),
    Limits(memory=1),
    0,
)
def test_more_room_refuses_nobody(wish: Wish, facts: Facts, limits: Limits, more: int) -> None:
    if admitted(wish, facts, limits):
        assert admitted(wish, facts._replace(free=facts.free + more), limits)
        assert admitted(wish, facts._replace(claims=(), machines=()), limits)


@given(
    st.lists(st.builds(Wish, subject=st.uuids().map(str), disk=st.integers(0, 100), memory=st.integers(1, 100))),
    st.integers(0, 1000), st.integers(1, 8), st.integers(1, 400), st.integers(0, 300),
)  # fmt: skip
def test_whatever_is_admitted_in_turn_fits_together(
    wishes: list[Wish], free: int, machines: int, memory: int, reserve: int
) -> None:
    limits = Limits(machines=machines, memory=memory, reserve=reserve)
    held: list[Wish] = []
    for each in wishes:
        wish = each._replace(machine=each.subject, name=each.subject, reserved=True)
        if admitted(wish, Facts("/state", 10_000, free, None, None, (), held), limits):
            held.append(wish)
    assert len(held) <= machines
    assert sum(each.memory for each in held) <= memory
    assert sum(each.disk for each in held) + (reserve if held else 0) <= max(free, 0)
