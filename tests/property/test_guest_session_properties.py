"""Records of sessions, which are a guest's words: whatever they are, they are understood or refused."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from banger import errors
from banger.guest import session, wire

FIELDS = st.lists(st.tuples(st.integers(0, 70), st.binary(max_size=80)), max_size=12)
RECORDS = st.lists(FIELDS, max_size=4)


def packed(fields: list[tuple[int, bytes]]) -> bytes:
    return b"".join(wire.field(tag, value) for tag, value in fields)


@given(RECORDS)
def test_any_records_are_sessions_or_a_broken_protocol(records: list[list[tuple[int, bytes]]]) -> None:
    result = wire.Result(b"".join(wire.field(wire.Field.RECORD, packed(fields)) for fields in records))
    try:
        found = session.decode(result)
    except errors.ProtocolViolation:
        return
    assert len(found) == len(records)
    for each in found:
        for text in (each.id, each.name, each.cwd, each.user, *each.argv):
            assert text.isprintable()
        assert each.running == (each.end is None)
        assert msgspec.json.encode(each)


def test_more_sessions_than_places_are_a_broken_protocol() -> None:
    record = wire.field(wire.Field.RECORD)
    assert len(session.decode(wire.Result(record * session.PLACES))) == session.PLACES
    try:
        session.decode(wire.Result(record * (session.PLACES + 1)))
    except errors.ProtocolViolation:
        return
    raise AssertionError("they were taken")


@given(st.integers(0, 3), st.booleans(), st.none() | st.integers(0, 2**64 - 1), st.integers(-5, 10**6))
def test_what_is_asked_of_an_agent_can_be_read_again(streams: int, flag: bool, tail: int | None, size: int) -> None:
    how = session.Attaching(follow=flag, feed=not flag, streams=streams, tail=tail, size=(size, 80))
    asked = wire.Result(how.encode("0123456789abcdef"))
    assert asked.text(wire.Field.SESSION) == "0123456789abcdef"
    assert asked.number(wire.Field.STREAMS) == streams
    assert ((wire.Field.FOLLOW in asked), (wire.Field.STDIN in asked)) == (flag, not flag)
    assert (asked.number(wire.Field.TAIL) if wire.Field.TAIL in asked else None) == tail
    assert len(asked.value(wire.Field.TTY)) == 4
