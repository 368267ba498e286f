"""Whatever bytes come, the server answers like a DNS server or not at all."""

import struct
from ipaddress import IPv4Address, IPv4Network

import dns.flags
import dns.message
from hypothesis import given
from hypothesis import strategies as st

from banger.net.answer import PLAIN_LIMIT, QUESTION_LIMIT, answer
from banger.net.zone import Zone

SERVER = IPv4Address("127.0.0.1")
asked: list[str] = []


def lookup(name: str) -> list[IPv4Address]:
    asked.append(name)
    return [IPv4Address("172.16.0.2")] if name == "a" else []


ZONE = Zone(lookup, lambda _: None, [IPv4Network("172.16.0.0/24")])

LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=5)
ENDINGS = st.sampled_from([b"\x02vm\x00", b"\x02Vm\x00", b"\x07in-addr\x04arpa\x00", b"\x00", b"\xc0\x0c", b""])


@st.composite
def questions(draw: st.DrawFn) -> bytes:
    """Nearly a question: a header with small counts, a name, and something after it."""
    counts = draw(st.tuples(*(st.sampled_from([0, 1, 1, 1, 2]) for _ in range(4))))
    header = struct.pack(
        "!HHHHHH", draw(st.integers(0, 65535)), draw(st.sampled_from([0, 0x0100, 0x8000, 0x2800])), *counts
    )
    name = b"".join(bytes([len(each)]) + each for each in draw(LABELS)) + draw(ENDINGS)
    return (
        header
        + name
        + draw(st.sampled_from([b"\x00\x01\x00\x01", b"\x00\xff\x00\xff", b""]))
        + draw(st.binary(max_size=40))
    )


@given(wire=st.one_of(questions(), st.binary(max_size=200)), stream=st.booleans())
def test_any_bytes(wire: bytes, stream: bool) -> None:
    asked.clear()
    reply = answer(wire, ZONE, SERVER, stream=stream)
    if len(wire) < 12 or wire[2] & 0x80:
        assert reply is None
        return
    assert reply is not None
    assert reply[:2] == wire[:2]
    assert reply[2] & 0x80
    assert len(reply) <= (65535 if stream else QUESTION_LIMIT)
    found = dns.message.from_wire(reply)
    assert not found.flags & dns.flags.RA
    if found.edns < 0 and not stream:
        assert len(reply) <= PLAIN_LIMIT
    for name in asked:
        assert name.isascii() and name == name.lower() and "." not in name


@given(label=st.binary(min_size=1, max_size=63))
def test_only_names_that_a_machine_could_have_are_looked_up(label: bytes) -> None:
    asked.clear()
    ZONE.find([label, b"vm"], SERVER)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") for name in asked)
