"""What network operations refuse before they look at the host, and the text of the packet filter."""

import json
from dataclasses import replace

import pytest

from banger.helper import ruleset, values
from banger.helper.host import Host
from banger.helper.operation import Operation, Refused
from banger.helper.resolver import Resolver
from banger.helper.rules import Rules, Standing
from banger.helper.ruleset import GuestRule
from banger.helper.tap import Tap

HOST = Host(owner_uid=1000, owner_gid=1000)
GUEST = GuestRule(tap="tap-fc-0", address="172.16.0.2", mac="02:fc:ac:10:00:02")
OTHER = GuestRule(tap="tap-fc-1", address="172.16.0.3", mac="02:fc:ac:10:00:03", nat=True, peers=True)


@pytest.mark.parametrize(
    "operation",
    [
        *(Tap(slot=slot) for slot in (-1, 1000, 10_000)),
        *(Resolver(port=port) for port in (0, 53, 1023, 65536, -1)),
        *(Rules(guests=(), resolver=port) for port in (53, -1, 65536)),
        Rules(guests=(GUEST,) * 1001),
        Standing(guests=(), resolver=53),
        Standing(guests=(replace(GUEST, tap="eth0"),)),
        Rules(guests=(GUEST, replace(OTHER, tap=GUEST.tap))),
        Rules(guests=(GUEST, replace(OTHER, mac=GUEST.mac))),
        Rules(guests=(GUEST, replace(OTHER, address=GUEST.address))),
        *(Rules(guests=(replace(GUEST, tap=tap),)) for tap in ("eth0", 'tap-fc-0"', "tap-fc-0 }")),
        *(Rules(guests=(replace(GUEST, mac=mac),)) for mac in ("02:fd:00:00:00:00", "02:FC:00:00:00:00", "")),
        Rules(guests=(replace(GUEST, mac="02:fc:ac:10:00:01"),)),
        *(
            Rules(guests=(replace(GUEST, address=address),))
            for address in (
                "172.16.0.0", "172.16.0.1", "172.16.0.255", "172.16.1.2", "172.16.0.2/32", "172.16.0.02", "::1",
                "172.16.0.2 }", "", "2886729730",
            )
        ),
    ],
    ids=repr,
)  # fmt: skip
def test_refused(operation: Operation) -> None:
    with pytest.raises(Refused):
        operation.validate(HOST)


@pytest.mark.parametrize(
    "operation",
    [
        Rules(guests=(GUEST, OTHER), resolver=42069),
        Rules(guests=()),
        Resolver(port=1024),
        Standing(guests=(GUEST, OTHER), resolver=42069),
    ],
)
def test_allowed_and_the_same_after_a_journey(operation: Operation) -> None:
    operation.validate(HOST)
    sent = json.loads(json.dumps(values.encode(operation)))
    assert values.decode(type(operation), sent) == operation
    assert "\n" not in operation.describe()


def test_elements_say_who_may_do_what() -> None:
    found = ruleset.elements([GUEST, OTHER])
    assert found["bridge"]["guests"] == {
        ("tap-fc-0", "02:fc:ac:10:00:02", "172.16.0.2"),
        ("tap-fc-1", "02:fc:ac:10:00:03", "172.16.0.3"),
    }
    assert found["bridge"]["peers"] == {("tap-fc-1",)}
    assert found["inet"]["nat"] == found["inet"]["peers"] == {("172.16.0.3",)}
    assert found["inet"]["host"] == found["inet"]["metadata"] == found["inet"]["private"] == frozenset()


def test_text_names_our_tables_only() -> None:
    text = ruleset.replaced(ruleset.skeleton(HOST, 42069), ruleset.elements([GUEST, OTHER]))
    opened = [line.split() for line in text.splitlines() if not line.startswith((" ", "}"))]
    for words in opened:
        assert words[0] in ("table", "add", "delete")
        assert "banger" in words[1:4], words
    assert "redirect to :42069" in text
    assert "redirect" not in ruleset.skeleton(HOST, 0)
    assert "{{" not in text
    assert "{bridge}" not in text


def test_a_change_of_guests_touches_elements_only() -> None:
    for line in ruleset.refilled(ruleset.elements([GUEST])).splitlines():
        assert line.startswith(("flush set ", "add element "))


def test_a_network_without_ends_has_two_addresses() -> None:
    host = Host(owner_uid=1, owner_gid=1, address="10.0.0.0/31")
    assert ruleset.valid_address("10.0.0.1", host)
    assert not ruleset.valid_address("10.0.0.0", host)
