"""The packet filter with guests behind taps, and an outside behind the host: what arrives and what does not."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from banger.helper import kept
from banger.helper.bridge import Bridge
from banger.helper.host import Host
from banger.helper.rules import Rules
from banger.helper.ruleset import METADATA, GuestRule
from banger.helper.tap import Tap
from tests.integration.helper import rig
from tests.integration.helper.rig import MOMENT, RESOLVER, Guest, Namespace, ip, listener, nft, perform, rule

pytestmark = pytest.mark.root

OUTSIDE, OUR_END, PRIVATE = "198.51.100.2", "198.51.100.1", "192.168.77.2"
GATEWAY, GATEWAY_MAC = "172.16.0.1", "02:fc:ac:10:00:01"
SERVICE = 5000
ATTEMPTS = 4


def apply(host: Host, *guests: GuestRule) -> dict[str, object]:
    return dict(perform(Rules(guests=guests, resolver=RESOLVER), host).values)


@pytest.fixture
def guests(inside: Namespace, host: Host) -> Iterator[tuple[Guest, Guest]]:
    """Two guests on the bridge, without any rule yet."""
    perform(Bridge(), host)
    for slot in (0, 1):
        perform(Tap(slot=slot), host)
    apply(host)
    with contextlib.ExitStack() as stack:
        made = [Guest(slot) for slot in (0, 1)]
        for each in made:
            stack.callback(each.close)
        yield made[0], made[1]


@pytest.fixture
def outside(inside: Namespace) -> Iterator[Namespace]:
    """What is behind the host: it has no route to guests, a private network, and a service for metadata."""
    with rig.namespace() as made:
        ip(f"link add name uplink type veth peer name eth0 netns {made.path}")
        ip(f"address add {OUR_END}/24 dev uplink", "link set dev uplink up")
        with made:
            ip(*(f"address add {each} dev eth0" for each in (f"{OUTSIDE}/24", f"{PRIVATE}/24", f"{METADATA}/32")))
            ip("link set dev eth0 up")
        ip(f"route add 192.168.77.0/24 via {OUTSIDE}", f"route add {METADATA} via {OUTSIDE}")
        yield made


class Ear:
    """A place where datagrams may arrive."""

    def __init__(self, where: Namespace, address: str, port: int = SERVICE) -> None:
        self._made = listener(where, address, port)
        self.target = (address, port)

    def __enter__(self) -> "Ear":
        self.socket = self._made.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._made.__exit__(None, None, None)

    def rest(self) -> list[bytes]:
        """What else has come."""
        self.socket.settimeout(MOMENT)
        found = []
        with contextlib.suppress(TimeoutError):
            while True:
                found.append(self.socket.recv(100))
        return found


def send(guest: Guest, target: tuple[str, int], text: bytes) -> None:
    with guest.udp() as made, contextlib.suppress(OSError):  # a refusal that came back is as good as silence
        made.sendto(text, target)


def forget_neighbours(guest: Guest) -> None:
    """The guest will ask anew where everybody is, and not wait because it has asked in vain."""
    with guest.namespace:
        ip("neigh flush dev eth0")


def arrives(guest: Guest, ear: Ear, inside: Namespace) -> bool:
    """Whether a datagram gets there; nothing is there when what was sent later, to the resolver, is."""
    forget_neighbours(guest)
    with Ear(inside, GATEWAY, RESOLVER) as resolver:
        send(guest, ear.target, b"hello")
        send(guest, (GATEWAY, 53), b"after")
        assert resolver.socket.recv(100) == b"after"
    return b"hello" in ear.rest()


def reaches(guest: Guest, ear: Ear) -> bool:
    """Whether a datagram gets there in the end."""
    forget_neighbours(guest)
    send(guest, ear.target, b"hello")
    ear.socket.settimeout(rig.PATIENCE)
    return ear.socket.recv(100) == b"hello"


def attempts(first: Guest, second: Guest, text: bytes) -> None:
    """Send to the other guest in every way: as its own stack would, straight to its port, and through the host."""
    send(first, (second.address, SERVICE), text)
    with first.frames() as raw:
        for way in (second.mac, "ff:ff:ff:ff:ff:ff", GATEWAY_MAC):
            raw.send(rig.datagram_frame(first.mac, first.address, way, (second.address, SERVICE), text))


def heard(first: Guest, second: Guest, inside: Namespace, expected: int = 0) -> int:
    """How many of the attempts get through, when what the first has sent later is there; it waits for the expected."""
    forget_neighbours(first)
    with Ear(second.namespace, second.address) as ear, Ear(inside, GATEWAY, RESOLVER) as resolver:
        attempts(first, second, b"hello")
        send(first, (GATEWAY, RESOLVER), b"after")
        assert resolver.socket.recv(100) == b"after"
        for count in range(ATTEMPTS + 1):
            ear.socket.settimeout(rig.PATIENCE if count < expected else MOMENT)
            try:
                assert ear.socket.recv(100) == b"hello"
            except TimeoutError:
                return count
    raise AssertionError("more than was sent")


def test_guests_reach_each_other_only_when_both_may(host: Host, guests: tuple[Guest, Guest], inside: Namespace) -> None:
    first, second = guests
    for one, two in ((False, False), (True, False), (False, True)):
        apply(host, *(replace(each.rule, peers=may, nat=True) for each, may in ((first, one), (second, two))))
        assert heard(first, second, inside) == 0, (one, two)
    apply(host, *(replace(each.rule, peers=True, nat=True) for each in guests))
    assert heard(first, second, inside, ATTEMPTS) == ATTEMPTS
    assert heard(second, first, inside, ATTEMPTS) == ATTEMPTS
    apply(host, replace(first.rule, peers=True), second.rule)
    assert heard(first, second, inside) == 0


def test_guests_stay_apart_without_any_rule_of_the_filter(
    host: Host, guests: tuple[Guest, Guest], inside: Namespace
) -> None:
    """Somebody flushed the whole ruleset: the ports are still isolated, and the host does not route."""
    first, second = guests
    apply(host, first.rule, second.rule)
    nft("flush ruleset")
    assert heard(first, second, inside) == 0
    assert apply(host, first.rule, second.rule) == {"changed": True, "repaired": ["bridge", "inet"], "missing": []}


def test_nat_is_each_guests_own(host: Host, guests: tuple[Guest, Guest], inside: Namespace, outside: Namespace) -> None:
    first, second = guests
    with Ear(outside, OUTSIDE) as ear:
        apply(host, first.rule, second.rule)
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "0\n", "nobody needs it"
        assert not arrives(first, ear, inside)
        apply(host, replace(first.rule, nat=True), second.rule)
        assert reaches(first, ear)
        assert not arrives(second, ear, inside)
        ear.socket.settimeout(rig.PATIENCE)
        with first.udp() as flow:
            flow.settimeout(rig.PATIENCE)
            flow.sendto(b"question", ear.target)
            text, seen = ear.socket.recvfrom(100)
            assert (text, seen[0]) == (b"question", OUR_END), "under the host's address"
            ear.socket.sendto(b"answer", seen)
            assert flow.recv(100) == b"answer"
            apply(host, first.rule, second.rule)
            assert not arrives(first, ear, inside)
            ear.socket.sendto(b"late", seen)
            flow.settimeout(MOMENT)
            with pytest.raises(OSError):  # the end of permission ends the flow: a refusal or silence
                flow.recv(100)


def test_outside_reaches_no_guest(
    host: Host, guests: tuple[Guest, Guest], inside: Namespace, outside: Namespace
) -> None:
    first, _ = guests
    apply(host, replace(first.rule, nat=True, host=True))
    with outside:
        ip(f"route add 172.16.0.0/24 via {OUR_END}")
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with stranger, Ear(first.namespace, first.address) as ear:
        stranger.sendto(b"knock", ear.target)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(b"from the host", ear.target)
        assert ear.socket.recv(100) == b"from the host"
        ear.socket.settimeout(MOMENT)
        with pytest.raises(TimeoutError):
            ear.socket.recv(100)


def test_private_networks_and_metadata_are_closed(
    host: Host, guests: tuple[Guest, Guest], inside: Namespace, outside: Namespace
) -> None:
    first, _ = guests
    open_one = replace(first.rule, nat=True)
    with Ear(outside, PRIVATE) as private, Ear(outside, METADATA) as metadata:
        apply(host, open_one)
        assert not arrives(first, private, inside)
        assert not arrives(first, metadata, inside)
        apply(host, replace(open_one, private=True))
        assert reaches(first, private)
        assert not arrives(first, metadata, inside)
        apply(host, replace(open_one, metadata=True))
        assert not arrives(first, private, inside)
        assert reaches(first, metadata)


def test_services_of_the_host_are_closed(
    host: Host, guests: tuple[Guest, Guest], inside: Namespace, outside: Namespace
) -> None:
    first, second = guests
    everything_else = replace(first.rule, nat=True, private=True, peers=True)
    for address in (GATEWAY, OUR_END):
        with Ear(inside, address) as ear:
            apply(host, everything_else, second.rule)
            assert not arrives(first, ear, inside)
            apply(host, replace(everything_else, host=True), second.rule)
            assert reaches(first, ear)
            assert not arrives(second, ear, inside)
    ip(f"address add {METADATA}/32 dev lo")
    with Ear(inside, METADATA) as ear:
        apply(host, replace(everything_else, host=True))
        assert not arrives(first, ear, inside), "a proxy for metadata on the host itself"


def test_false_senders_are_dropped(host: Host, guests: tuple[Guest, Guest], inside: Namespace) -> None:
    first, second = guests
    apply(host, *(replace(each.rule, peers=True, host=True, nat=True) for each in guests))
    mac, address = first.mac, first.address
    tagged = rig.datagram_frame(mac, second.address, GATEWAY_MAC, (GATEWAY, SERVICE), b"false")
    tagged = tagged[:12] + b"\x81\x00\x00\x00" + tagged[12:]
    false = [
        rig.datagram_frame(second.mac, second.address, GATEWAY_MAC, (GATEWAY, SERVICE), b"false"),
        rig.datagram_frame(second.mac, address, GATEWAY_MAC, (GATEWAY, SERVICE), b"false"),
        rig.datagram_frame(mac, second.address, GATEWAY_MAC, (GATEWAY, SERVICE), b"false"),
        rig.datagram_frame(mac, "172.16.0.200", GATEWAY_MAC, (GATEWAY, SERVICE), b"false"),
        rig.datagram_frame(mac, GATEWAY, second.mac, (second.address, SERVICE), b"false"),
        tagged,
        rig.arp_frame(mac, mac, second.address, GATEWAY),
        rig.arp_frame(mac, second.mac, second.address, GATEWAY),
        rig.arp_frame(mac, mac, GATEWAY, second.address),
        rig.arp_frame(second.mac, mac, address, GATEWAY),
        bytes.fromhex("3333000000fb" + mac.replace(":", "") + "86dd6000000000001140") + bytes(32),
        bytes.fromhex("ffffffffffff" + mac.replace(":", "") + "8863110900000000") + bytes(40),
    ]
    with (
        Ear(inside, GATEWAY) as ear,
        Ear(second.namespace, second.address) as beside,
        first.frames() as raw,
        rig.frames_at("br-fc") as behind,
    ):
        for frame in false:
            raw.send(frame)
        raw.send(rig.datagram_frame(mac, address, second.mac, beside.target, b"true"))
        raw.send(rig.datagram_frame(mac, address, GATEWAY_MAC, ear.target, b"true"))
        assert ear.socket.recv(100) == b"true"
        assert beside.socket.recv(100) == b"true"
        seen = [behind.recv(2000)]
        while b"true" not in seen[-1]:
            seen.append(behind.recv(2000))
        assert {each[6:12].hex(":") for each in seen} <= {mac, GATEWAY_MAC}
        assert not set(seen) & set(false), "what the filter drops the host has never seen"
    known = ip("neigh show")
    assert second.address not in known, "a false sender taught the host"
    with second.namespace:
        assert GATEWAY not in ip("neigh show"), "a false sender taught a guest"
    with second.udp() as honest, Ear(inside, GATEWAY) as ear:
        honest.sendto(b"still here", ear.target)
        assert ear.socket.recv(100) == b"still here"


def test_connections_of_a_guest_are_limited(
    host: Host, guests: tuple[Guest, Guest], inside: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banger.helper.ruleset.CONNECTIONS", 4)
    first, second = guests
    apply(host, first.rule)
    with Ear(inside, GATEWAY, RESOLVER) as resolver:
        for number in range(8):
            send(first, (GATEWAY, 53), b"%d" % number)
        got = [resolver.socket.recv(100) for _ in range(4)]
        assert apply(host, first.rule, second.rule)["changed"]
        send(first, (GATEWAY, 53), b"more")
        send(second, (GATEWAY, 53), b"another guest")
        got.append(resolver.socket.recv(100))
        got += resolver.rest()
    assert got == [b"0", b"1", b"2", b"3", b"another guest"], "a change of the guests forgets no count"


def test_questions_of_a_guest_are_limited(
    host: Host, guests: tuple[Guest, Guest], inside: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banger.helper.ruleset.QUESTIONS", 1)
    first, second = guests
    apply(host, first.rule, second.rule)
    with Ear(inside, GATEWAY, RESOLVER) as resolver:
        for _ in range(20):
            send(first, (GATEWAY, 53), b"in a hurry")
        got = [resolver.socket.recv(100)]
        send(second, (GATEWAY, 53), b"once")
        while b"once" not in got:
            got.append(resolver.socket.recv(100))
        got += resolver.rest()
    assert 1 <= got.count(b"in a hurry") < 20


def test_edits_by_hand_are_repaired_and_told(host: Host, guests: tuple[Guest, Guest], inside: Namespace) -> None:
    first, second = guests
    wanted = (replace(first.rule, nat=True), second.rule)
    nft("add table inet theirs")
    apply(host, *wanted)
    assert apply(host, *wanted) == {"changed": False, "repaired": [], "missing": []}
    right = nft("list ruleset")
    edits = {
        "add element inet banger host { 172.16.0.2 }": "elements",
        "delete element bridge banger guests { \"tap-fc-1\" . 02:fc:ac:10:00:03 . 172.16.0.3 }": "elements",
        "insert rule bridge banger from_guest accept": "bridge",
        "flush chain inet banger to_host": "inet",
        "add chain inet banger extra { type filter hook output priority 0; policy drop; }": "inet",
        "add chain inet banger input { policy drop; }": "inet",
        "delete table bridge banger": "bridge",
        "delete table inet banger": "inet",
    }  # fmt: skip
    for edit, told in edits.items():
        nft(edit)
        assert apply(host, *wanted) == {"changed": True, "repaired": [told], "missing": []}, edit
        assert sorted(nft("list ruleset").split()) == sorted(right.split()), edit
        assert apply(host, *wanted)["repaired"] == []


def test_a_change_that_was_cut_short_is_nobodys_edit(
    host: Host, inside: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform(Bridge(), host)
    apply(host, rule(0))
    written = kept.write
    monkeypatch.setattr(kept, "write", lambda host, name, values: written(host, name, {"begun": True}))
    apply(host, rule(0), rule(1))
    monkeypatch.undo()
    assert apply(host, rule(1)) == {"changed": True, "repaired": [], "missing": ["tap-fc-1"]}
    assert apply(host, rule(1)) == {"changed": False, "repaired": [], "missing": ["tap-fc-1"]}


def test_a_tap_that_is_gone_keeps_no_other_guest_from_its_rules(
    host: Host, guests: tuple[Guest, Guest], inside: Namespace
) -> None:
    first, _ = guests
    gone = rule(7)
    assert apply(host, first.rule, gone) == {"changed": True, "repaired": [], "missing": ["tap-fc-7"]}
    with Ear(inside, GATEWAY, RESOLVER) as resolver:
        send(first, (GATEWAY, 53), b"hello")
        assert resolver.socket.recv(100) == b"hello"


def test_nothing_is_left_after_undo(host: Host, guests: tuple[Guest, Guest], inside: Namespace) -> None:
    first, _ = guests
    settings = Path("/proc/sys/net/ipv4")
    (settings / "conf/all/accept_redirects").write_text("0")
    nft("add table inet theirs")
    apply(host, replace(first.rule, nat=True))
    assert (settings / "ip_forward").read_text() == "1\n"
    for _ in range(2):
        Rules(guests=()).undo(host)
        assert nft("list ruleset").split() == ["table", "inet", "theirs", "{", "}"]
        assert (settings / "ip_forward").read_text() == "0\n"
        assert (settings / "conf/all/accept_redirects").read_text() == "0\n"
    for slot in (0, 1):
        Tap(slot=slot).undo(host)
    Bridge().undo(host)
    assert "br-fc" not in ip("link show")
