"""The decoder under arbitrary cuts, stale bytes and garbage."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from banger import errors
from banger.guest import wire

EPOCHS = st.integers(0, 2**64 - 1)
FRAMES = st.lists(
    st.tuples(
        st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=300)
    ),
    max_size=12,
)  # fmt: skip
BOUND = wire.MAX_FRAME + 300


def guest_says(epoch: int, frames: list[tuple[int, int, int, bytes]]) -> bytes:
    encoder = wire.Encoder(epoch)
    said = wire.ACK.pack(wire.ACK_MAGIC, epoch, wire.PROTOCOL, 0, 0, b"test")
    return said + b"".join(encoder.frame(kind, stream, data, channel) for kind, channel, stream, data in frames)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


@given(EPOCHS, FRAMES, st.lists(st.integers(0, 10_000), max_size=20), st.binary(max_size=200))
def test_frames_survive_any_cuts_and_any_stale_bytes(
    epoch: int, frames: list[tuple[int, int, int, bytes]], cuts: list[int], stale: bytes
) -> None:
    decoder = wire.Decoder(epoch)
    got = [frame for piece in pieces(stale + guest_says(epoch, frames), cuts) for frame in decoder.feed(piece)]
    assert [(f.kind, f.channel, f.stream, f.payload) for f in got] == frames
    assert decoder.buffered == 0


@given(EPOCHS)
def test_frames_survive_a_cut_at_every_byte(epoch: int) -> None:
    frames = [(2, 1, 7, b"abc"), (7, 0, 7, b"")]
    said = b"\xff\xfe\xfd" + guest_says(epoch, frames)
    for cut in range(len(said)):
        decoder = wire.Decoder(epoch)
        got = [*decoder.feed(said[:cut]), *decoder.feed(said[cut:])]
        assert [(f.kind, f.channel, f.stream, f.payload) for f in got] == frames


@given(EPOCHS, EPOCHS, FRAMES, FRAMES, st.integers(0, 10_000))
def test_an_earlier_attachment_never_reaches_the_next(
    old: int,
    new: int,
    before: list[tuple[int, int, int, bytes]],
    after: list[tuple[int, int, int, bytes]],
    cut: int,
) -> None:
    if old == new:
        return
    earlier = guest_says(old, before)
    decoder = wire.Decoder(new)
    got = [*decoder.feed(earlier[: cut % (len(earlier) + 1)]), *decoder.feed(guest_says(new, after))]
    assert [(f.kind, f.channel, f.stream, f.payload) for f in got] == after


@given(EPOCHS, st.lists(st.binary(max_size=300), max_size=50), st.booleans())
def test_garbage_is_refused_or_ignored_and_never_kept(epoch: int, garbage: list[bytes], attached: bool) -> None:
    decoder = wire.Decoder(epoch)
    if attached:
        list(decoder.feed(guest_says(epoch, [])))
    try:
        for piece in garbage:
            list(decoder.feed(piece))
            assert decoder.buffered < BOUND
    except errors.ProtocolViolation:
        assert attached


@given(st.binary(max_size=400))
def test_fields_are_read_exactly_or_refused(data: bytes) -> None:
    try:
        read = list(wire.fields(data))
    except errors.ProtocolViolation:
        return
    assert b"".join(wire.field(tag, value) for tag, value in read) == data
