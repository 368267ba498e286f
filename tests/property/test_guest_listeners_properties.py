"""Records of sockets out of arbitrary bytes."""

from hypothesis import given
from hypothesis import strategies as st

from banger import errors
from banger.guest import listeners, wire

LIKELY = st.fixed_dictionaries(
    {
        wire.Field.TRANSPORT: st.sampled_from((6, 17)),
        wire.Field.ADDRESS: st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16),
        wire.Field.LOCAL_PORT: st.integers(1, 65535),
    },
    optional={wire.Field.PID: st.integers(0, 1 << 22), wire.Field.NAME: st.binary(max_size=200)},
)


@given(st.binary(max_size=300), st.lists(st.binary(max_size=60), max_size=5))
def test_anything_is_read_or_refused(rest: bytes, inside: list[bytes]) -> None:
    data = b"".join(wire.field(wire.Field.RECORD, each) for each in inside) + rest
    try:
        told = listeners.decode(data)
    except errors.ProtocolViolation:
        return
    assert all(0 < each.port < 1 << 16 for each in told.sockets)


@given(st.lists(LIKELY, max_size=8))
def test_what_can_be_is_told_and_fit_to_be_shown(records: list[dict[int, int | bytes]]) -> None:
    inside = [b"".join(wire.field(tag, value) for tag, value in each.items()) for each in records]
    told = listeners.decode(b"".join(wire.field(wire.Field.RECORD, each) for each in inside))
    assert told.complete
    assert {each.port for each in told.sockets} == {each[wire.Field.LOCAL_PORT] for each in records}
    assert len(told.sockets) == len(set(told.sockets)) <= len(records)
    for each in told.sockets:
        assert each.process.isprintable() and (each.pid is not None or not each.process)
    assert [each.port for each in told.sockets] == sorted(each.port for each in told.sockets)
