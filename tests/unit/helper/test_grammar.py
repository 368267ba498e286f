"""Only names of banger's own fit."""

from collections.abc import Callable

import pytest

from banger.helper import grammar
from banger.helper.host import Host
from banger.helper.operation import Refused

GOOD: list[tuple[Callable[[str], str], list[str]]] = [
    (grammar.vm_id, ["0123456789abcdef"]),
    (grammar.sha256, ["0" * 64]),
    (grammar.change, ["", "0123456789ab", "f" * 32]),
    (grammar.tap, ["tap-fc-0", "tap-fc-9999"]),
    (grammar.bridge, ["br-fc", "br-fc-a", "br-fc-test12345"]),
    (grammar.mac, ["02:fc:00:00:00:0a"]),
]
BAD: list[tuple[Callable[[str], str], list[str]]] = [
    (
        grammar.vm_id,
        [
            "",
            "0123456789abcde",
            "0123456789abcdef\n",
            "0123456789ABCDEF",
            "../456789abcdef0",
            "\N{FULLWIDTH DIGIT ZERO}" * 16,
        ],
    ),
    (grammar.sha256, ["0" * 63, "g" * 64, "0" * 64 + "\n"]),
    (grammar.change, ["g", "f" * 33, "a b", "\n"]),
    (
        grammar.tap,
        [
            "tap-fc-",
            "tap-fc-00",
            "tap-fc-10000",
            "tap-fc-1\n",
            "eth0",
            "tap0",
            "tap-fc--1",
            "tap-fc-\N{ARABIC-INDIC DIGIT ONE}",
        ],
    ),
    (grammar.bridge, ["br0", "docker0", "br-fc-", "br-fc-test123456", "br-fc-A", "br-fc\n", "br-fc-a b"]),
    (grammar.mac, ["02:FC:00:00:00:00", "00:fc:00:00:00:00", "02:fc:00:00:00", "02:fc:00:00:00:00\n"]),
]


@pytest.mark.parametrize(("check", "value"), [(check, value) for check, values in GOOD for value in values])
def test_ours(check: Callable[[str], str], value: str) -> None:
    assert check(value) == value


@pytest.mark.parametrize(("check", "value"), [(check, value) for check, values in BAD for value in values])
def test_not_ours(check: Callable[[str], str], value: str) -> None:
    with pytest.raises(Refused) as refused:
        check(value)
    assert str(refused.value).isascii() and str(refused.value).isprintable()


def test_slots_are_those_of_the_installation() -> None:
    host = Host(owner_uid=1000, owner_gid=1000, uid_count=10)
    assert [grammar.slot(each, host) for each in (0, 9)] == [0, 9]
    for number in (-1, 10, 1 << 40):
        with pytest.raises(Refused):
            grammar.slot(number, host)
