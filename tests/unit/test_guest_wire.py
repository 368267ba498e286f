"""The codec's fixed points: what is on the wire, byte for byte, and what is refused."""

import pytest

from banger import errors
from banger.guest import wire

EPOCH = 0x0123456789ABCDEF


def ack(epoch: int = EPOCH, protocol: int = wire.PROTOCOL, round: int = 0, version: bytes = b"1.2") -> bytes:
    return wire.ACK.pack(wire.ACK_MAGIC, epoch, protocol, round, 0, version)


def test_a_frame_is_what_the_protocol_says_byte_for_byte() -> None:
    encoder = wire.Encoder(EPOCH)
    assert encoder.frame(wire.Kind.DATA, 0x01020304, b"hi", 1) == bytes.fromhex("020000000201000004030201686988888888")
    assert encoder.frame(wire.Kind.EOF, 1)[-4:] == bytes.fromhex("89888888")


def test_a_sync_record_is_what_the_protocol_says_byte_for_byte() -> None:
    record = b"\xff\xfe\xfd\xfcBANGER-SYNC\n" + bytes.fromhex("efcdab89674523010100070000000000")
    assert wire.sync(EPOCH, 7) == record
    assert wire.sync(EPOCH, 7, 3) == record * 3


def test_the_first_round_fills_up_any_half_frame() -> None:
    assert len(wire.sync(EPOCH, 0, wire.SYNC_COUNT)) >= wire.MAX_FRAME - 1 + wire.SYNC.size


def test_records_can_never_be_taken_for_frames() -> None:
    for magic in (wire.SYNC_MAGIC, wire.ACK_MAGIC):
        assert len(magic) == 16
        assert int.from_bytes(magic[:4], "little") > wire.MAX_PAYLOAD


def test_the_largest_frame_is_one_write_of_a_port() -> None:
    assert len(wire.Encoder(1).frame(wire.Kind.DATA, 1, bytes(wire.MAX_PAYLOAD))) == 32768
    with pytest.raises(ValueError, match="at most"):
        wire.Encoder(1).frame(wire.Kind.DATA, 1, bytes(wire.MAX_PAYLOAD + 1))


def test_everything_before_the_own_ack_is_thrown_away_and_costs_nothing() -> None:
    decoder = wire.Decoder(EPOCH)
    for _ in range(100):
        assert not list(decoder.feed(ack(epoch=EPOCH + 1) + bytes(5000)))
        assert decoder.buffered < wire.ACK.size
    frames = list(decoder.feed(b"\xff\xfe" + ack() + wire.Encoder(EPOCH).frame(wire.Kind.END, 9, b"x")))
    assert frames == [wire.Frame(wire.Kind.END, 0, 9, b"x")]
    assert decoder.ack == wire.Ack(1, "1.2")


def test_answers_to_later_rounds_change_nothing() -> None:
    decoder = wire.Decoder(EPOCH)
    data = ack() + ack(round=1) + wire.Encoder(EPOCH).frame(wire.Kind.END, 9)
    assert [frame.stream for frame in decoder.feed(data)] == [9]


@pytest.mark.parametrize(
    "bad",
    [
        wire.HEADER.pack(wire.MAX_PAYLOAD + 1, 2, 1, 0, 1),
        wire.HEADER.pack(0xFFFFFFFF, 2, 1, 0, 1),
        wire.HEADER.pack(0, 2, 1, 1, 1) + bytes(4),
        wire.HEADER.pack(0, 2, 1, 0, 1) + bytes(4),
        wire.Encoder(EPOCH + 1).frame(wire.Kind.DATA, 1, b"x", 1),
        ack(epoch=EPOCH + 1),
    ],
    ids=["too long", "endless", "zero not zero", "no tag", "another epoch", "another attachment"],
)
def test_nothing_but_frames_may_follow_the_ack(bad: bytes) -> None:
    decoder = wire.Decoder(EPOCH)
    list(decoder.feed(ack()))
    with pytest.raises(errors.ProtocolViolation):
        list(decoder.feed(bad))


def test_a_lost_or_repeated_frame_is_noticed() -> None:
    encoder = wire.Encoder(EPOCH)
    frames = [encoder.frame(wire.Kind.DATA, 1, b"x", 1) for _ in range(3)]
    for order in ((0, 2), (0, 0), (1,)):
        decoder = wire.Decoder(EPOCH)
        with pytest.raises(errors.ProtocolViolation, match="tag"):
            list(decoder.feed(ack() + b"".join(frames[index] for index in order)))


def test_fields_are_a_tag_a_length_and_bytes() -> None:
    assert wire.field(wire.Field.PATH, "/é") == b"\x08\x03\x00\x00\x00/\xc3\xa9"
    assert wire.field(wire.Field.PORT, 513) == b"\x0d\x08\x00\x00\x00\x01\x02" + bytes(6)
    assert wire.field(wire.Field.FOLLOW) == b"\x0a\x00\x00\x00\x00"


@pytest.mark.parametrize("bad", [b"\x01", b"\x01\x01\x00\x00\x00", b"\x01\xff\xff\xff\xffabc"])
def test_fields_must_fill_their_payload(bad: bytes) -> None:
    with pytest.raises(errors.ProtocolViolation):
        list(wire.fields(bad))


def test_a_number_of_another_size_is_refused() -> None:
    with pytest.raises(errors.ProtocolViolation):
        wire.Result(wire.field(wire.Field.EXIT, b"\1")).number(wire.Field.EXIT)
