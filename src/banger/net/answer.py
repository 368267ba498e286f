"""A DNS question to an answer, byte for byte: the only place that knows the codec (dnspython).

Loaded with the first question, since nothing else in the daemon needs it. A question comes from a guest as well as
from the host's resolver: what is not one short question is turned away by its header, before anything is parsed.

Every answer is authoritative, may not be kept (TTL 0), offers no recursion, and repeats the question as it was spelled,
case included (draft-vixie-dnsext-dns0x20). A denial carries the zone's SOA (RFC 2308).
"""

import struct
from ipaddress import IPv4Address

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from banger.net.zone import DOMAIN, SELF, Address, Found, Verdict, Zone

QUESTION_LIMIT = 1232
"""Longest question that is looked at; and the longest answer over UDP (what fits every path, the DNS flag day's)."""

PLAIN_LIMIT = 512
"""Longest answer over UDP for who does not say that it takes more (RFC 1035)."""

IN, A, AAAA = dns.rdataclass.IN, dns.rdatatype.A, dns.rdatatype.AAAA
NS, SOA, PTR, ANY = dns.rdatatype.NS, dns.rdatatype.SOA, dns.rdatatype.PTR, dns.rdatatype.ANY
TRANSFERS = (dns.rdatatype.AXFR, dns.rdatatype.IXFR)
SERVER = dns.name.Name((SELF.encode(), DOMAIN, b""))


def answer(wire: bytes, zone: Zone, server: Address, *, stream: bool) -> bytes | None:
    """The answer to what came to the address ``server``; None for what deserves none. ``stream`` is TCP."""
    if len(wire) < 12:
        return None
    number, flags, questions, answers, authorities, others = struct.unpack("!HHHHHH", wire[:12])
    if flags & dns.flags.QR:
        return None  # an answer to an answer would begin a quarrel
    if dns.opcode.from_flags(flags) != dns.opcode.QUERY:
        return _bare(number, flags, dns.rcode.NOTIMP)
    if questions != 1 or answers or authorities or others > 1 or len(wire) > QUESTION_LIMIT:
        return _bare(number, flags, dns.rcode.FORMERR)
    try:
        query = dns.message.from_wire(wire)
        response = dns.message.make_response(query, our_payload=QUESTION_LIMIT)
    except (dns.exception.DNSException, ValueError):
        return _bare(number, flags, dns.rcode.FORMERR)
    _fill(response, query, zone, server)
    limit = 65535 if stream else min(max(query.payload, PLAIN_LIMIT), QUESTION_LIMIT)
    return _encoded(response, limit)


def _bare(number: int, flags: int, rcode: dns.rcode.Rcode) -> bytes:
    """A header alone: the question could not be read."""
    kept = flags & (0x7800 | dns.flags.RD)
    return struct.pack("!HHHHHH", number, dns.flags.QR | kept | rcode, 0, 0, 0, 0)


def _encoded(response: dns.message.Message, limit: int) -> bytes:
    try:
        return response.to_wire(max_size=limit)
    except dns.exception.TooBig:
        response.answer, response.authority = [], []
        response.flags |= dns.flags.TC
        return response.to_wire(max_size=limit)


def _fill(response: dns.message.Message, query: dns.message.Message, zone: Zone, server: Address) -> None:
    if query.edns > 0:
        response.set_rcode(dns.rcode.BADVERS)
        return
    (question,) = query.question
    if question.rdclass != IN or question.rdtype in TRANSFERS:
        response.set_rcode(dns.rcode.REFUSED)
        return
    found = zone.find(question.name.labels[:-1], server)
    if found.verdict is Verdict.REFUSED:
        response.set_rcode(dns.rcode.REFUSED)
        return
    response.flags |= dns.flags.AA
    if found.verdict is Verdict.NOT_FOUND:
        response.set_rcode(dns.rcode.NXDOMAIN)
    else:
        response.answer = _records(question.name, question.rdtype, found)
    if not response.answer:
        response.authority = [_soa(found)]


def _records(name: dns.name.Name, kind: dns.rdatatype.RdataType, found: Found) -> list[dns.rrset.RRset]:
    """What there is of a type; of all types, for who asks for any (RFC 8482 would allow less)."""
    texts: dict[dns.rdatatype.RdataType, list[str]] = {A: [], AAAA: []}
    for each in found.addresses:
        texts[A if isinstance(each, IPv4Address) else AAAA].append(str(each))
    if found.name:
        texts[PTR] = [f"{found.name}.{DOMAIN.decode()}."]
    sets = [_rrset(name, each, values) for each, values in texts.items() if values and kind in (each, ANY)]
    if found.at_apex and kind in (SOA, ANY):
        sets.append(_soa(found))
    if found.at_apex and kind in (NS, ANY):
        sets.append(_rrset(name, NS, [SERVER.to_text()]))
    return sets


def _soa(found: Found) -> dns.rrset.RRset:
    apex = dns.name.Name((*found.apex, b""))
    return _rrset(apex, SOA, [f"{SERVER.to_text()} hostmaster.{DOMAIN.decode()}. 1 3600 600 86400 0"])


def _rrset(name: dns.name.Name, kind: dns.rdatatype.RdataType, texts: list[str]) -> dns.rrset.RRset:
    return dns.rrset.from_text_list(name, 0, IN, kind, texts)
