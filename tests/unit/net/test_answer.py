"""The DNS server's answers, question by question."""

import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest

from banger.net.answer import answer
from banger.net.zone import Address, Zone

SERVER = IPv4Address("172.16.0.1")
MACHINES: dict[str, list[Address]] = {
    "web": [IPv4Address("172.16.0.2")],
    "both": [IPv4Address("172.16.0.3"), IPv6Address("fd00::3")],
    "many": [IPv6Address(number) for number in range(2**120, 2**120 + 100)],
}
ZONE = Zone(
    lambda name: MACHINES.get(name, []),
    lambda address: next((name for name, found in MACHINES.items() if address in found), None),
    [IPv4Network("172.16.0.0/24"), IPv4Network("10.0.0.0/8")],
)


def ask(name: str, kind: str = "A", *, stream: bool = False, **options: Any) -> dns.message.Message:
    query = dns.message.make_query(name, kind, **options)
    reply = answer(query.to_wire(), ZONE, SERVER, stream=stream)
    assert reply is not None
    found = dns.message.from_wire(reply)
    assert query.is_response(found)
    assert not found.flags & dns.flags.RA
    return found


def texts(found: dns.message.Message) -> list[str]:
    return [line for each in found.answer for line in each.to_text().splitlines()]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.vm", "A", ["web.vm. 0 IN A 172.16.0.2"]),
        ("both.vm", "A", ["both.vm. 0 IN A 172.16.0.3"]),
        ("both.vm", "AAAA", ["both.vm. 0 IN AAAA fd00::3"]),
        ("both.vm", "ANY", ["both.vm. 0 IN A 172.16.0.3", "both.vm. 0 IN AAAA fd00::3"]),
        ("_banger.vm", "A", ["_banger.vm. 0 IN A 172.16.0.1"]),
        ("vm", "NS", ["vm. 0 IN NS _banger.vm."]),
        ("vm", "SOA", ["vm. 0 IN SOA _banger.vm. hostmaster.vm. 1 3600 600 86400 0"]),
        ("2.0.16.172.in-addr.arpa", "PTR", ["2.0.16.172.in-addr.arpa. 0 IN PTR web.vm."]),
        ("2.0.16.172.IN-ADDR.ARPA", "PTR", ["2.0.16.172.IN-ADDR.ARPA. 0 IN PTR web.vm."]),
    ],
)
def test_records(name: str, kind: str, expected: list[str]) -> None:
    found = ask(name, kind)
    assert found.rcode() == dns.rcode.NOERROR
    assert found.flags & dns.flags.AA
    assert texts(found) == expected
    assert not found.authority


@pytest.mark.parametrize(
    ("name", "kind", "rcode", "apex"),
    [
        ("none.vm", "A", dns.rcode.NXDOMAIN, "vm."),
        ("sub.web.vm", "A", dns.rcode.NXDOMAIN, "vm."),
        ("we\\.b.vm", "A", dns.rcode.NXDOMAIN, "vm."),
        ("\\000\\255.vm", "A", dns.rcode.NXDOMAIN, "vm."),
        ("web.vm", "AAAA", dns.rcode.NOERROR, "vm."),
        ("web.vm", "MX", dns.rcode.NOERROR, "vm."),
        ("vm", "A", dns.rcode.NOERROR, "vm."),
        ("9.0.16.172.in-addr.arpa", "PTR", dns.rcode.NXDOMAIN, "0.16.172.in-addr.arpa."),
        ("2.0.16.172.in-addr.arpa", "A", dns.rcode.NOERROR, "0.16.172.in-addr.arpa."),
        ("1.2.3.10.in-addr.arpa", "PTR", dns.rcode.NXDOMAIN, "10.in-addr.arpa."),
    ],
)
def test_denials_carry_the_zone(name: str, kind: str, rcode: dns.rcode.Rcode, apex: str) -> None:
    found = ask(name, kind)
    assert found.rcode() == rcode
    assert not found.answer
    (soa,) = found.authority
    assert (soa.rdtype, soa.name.to_text(), soa.ttl) == (dns.rdatatype.SOA, apex, 0)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("example.org", "A"), (".", "NS"), ("vmx", "A"), ("web.vm.example.org", "A"), ("vm", "AXFR"), ("vm", "IXFR"),
        ("1.1.1.1.in-addr.arpa", "PTR"), ("0.16.172.in-addr.arpa", "PTR"), ("02.0.16.172.in-addr.arpa", "PTR"),
        ("256.0.16.172.in-addr.arpa", "PTR"), ("x.2.0.16.172.in-addr.arpa", "PTR"), ("in-addr.arpa", "PTR"),
    ],
)  # fmt: skip
def test_the_rest_is_refused(name: str, kind: str) -> None:
    found = ask(name, kind)
    assert found.rcode() == dns.rcode.REFUSED
    assert not found.answer and not found.authority
    assert ask("web.vm", rdclass="CH").rcode() == dns.rcode.REFUSED


def test_the_question_comes_back_as_it_was_spelled() -> None:
    found = ask("wEb.vM")
    assert found.question[0].name.to_text() == "wEb.vM."
    assert texts(found) == ["wEb.vM. 0 IN A 172.16.0.2"]


def test_what_does_not_fit_is_cut_and_whole_over_tcp() -> None:
    variants: tuple[dict[str, int], ...] = ({}, {"use_edns": 0, "payload": 65535}, {"use_edns": 0, "payload": 0})
    for options in variants:
        cut = ask("many.vm", "AAAA", stream=False, **options)
        assert cut.flags & dns.flags.TC
        assert not cut.answer
    whole = ask("many.vm", "AAAA", stream=True)
    assert not whole.flags & dns.flags.TC
    assert len(texts(whole)) == 100


def test_versions_and_codes_of_the_future_are_told_apart() -> None:
    assert ask("web.vm", use_edns=1).rcode() == dns.rcode.BADVERS
    assert ask("web.vm", use_edns=0, options=[dns.edns.GenericOption("65001", b"x")]).rcode() == dns.rcode.NOERROR
    notify = dns.message.make_query("vm", "SOA")
    notify.set_opcode(dns.opcode.NOTIFY)
    reply = answer(notify.to_wire(), ZONE, SERVER, stream=False)
    assert reply is not None
    assert dns.message.from_wire(reply).rcode() == dns.rcode.NOTIMP


def test_an_answer_is_not_answered() -> None:
    query = dns.message.make_query("web.vm", "A")
    assert answer(dns.message.make_response(query).to_wire(), ZONE, SERVER, stream=False) is None
    assert answer(b"", ZONE, SERVER, stream=False) is None
    assert answer(query.to_wire()[:11], ZONE, SERVER, stream=False) is None


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"\x03web\x02vm",
        b"\x03web\x02vm\x00\x00\x01\x00",
        b"\xc0\x0c\x00\x01\x00\x01",  # a name that points at itself
        b"\xc0\xff\x00\x01\x00\x01",
        b"\x40web\x00\x00\x01\x00\x01",
        b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 3 + b"\x00\x00\x01\x00\x01",  # 257 bytes of name
        b"\x03web\x02vm\x00\x00\x01\x00\x01trailing",
        b"\x03web\x02vm\x00\x00\x01\x00\x01" + bytes(1300),
    ],
    ids=range(9),
)
def test_malformed(tail: bytes) -> None:
    reply = answer(struct.pack("!HHHHHH", 0xBEEF, 0x0100, 1, 0, 0, 0) + tail, ZONE, SERVER, stream=True)
    assert reply == struct.pack("!HHHHHH", 0xBEEF, 0x8101, 0, 0, 0, 0)


@pytest.mark.parametrize("counts", [(0, 0, 0, 0), (2, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 2), (65535,) * 4])
def test_one_question_and_nothing_else(counts: tuple[int, ...]) -> None:
    wire = dns.message.make_query("web.vm", "A").to_wire()
    reply = answer(wire[:4] + struct.pack("!HHHH", *counts) + wire[12:], ZONE, SERVER, stream=False)
    assert reply is not None
    assert reply[:2] == wire[:2]
    assert reply[3] & 0xF == dns.rcode.FORMERR
