"""What a record may say. (Who may write it is tested as root.)"""

import dataclasses

import pytest

from banger.helper import host
from banger.helper.host import BadRecord, Host

GOOD = Host(owner_uid=1000, owner_gid=1000)


def test_places_follow_from_the_record() -> None:
    assert GOOD.store == "/var/lib/banger-root/store"
    assert GOOD.jails == "/var/lib/banger-root/jails"
    assert GOOD.socket == "/run/banger-root/bangerd-root.sock"
    assert GOOD.uid(3) == 900_003
    host.check(GOOD)


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "var/lib/banger"},
        {"state": "/"},
        {"state": "/var/lib/banger/"},
        {"private": "/var/lib/../etc"},
        {"runtime": "/run//banger"},
        {"jailer": "/usr/bin/\0jailer"},
        {"owner_uid": -1},
        {"owner_gid": 1 << 32},
        {"owner_uid": 900_999},
        {"first_uid": 0},
        {"uid_count": 0},
        {"first_uid": (1 << 32) - 10},
        {"bridge": "br0"},
        {"address": "172.16.0.1/31"},
        {"address": "172.16.0.1/4"},
        {"address": "172.16.0.0/24"},
        {"address": "172.16.0.255/24"},
        {"address": "not an address"},
    ],
)
def test_what_makes_no_sense(wrong: dict[str, str | int]) -> None:
    with pytest.raises(ValueError):
        host.check(dataclasses.replace(GOOD, **wrong))  # type: ignore[arg-type]


def test_no_record(tmp_path: object) -> None:
    with pytest.raises(BadRecord, match="No such file"):
        host.load(f"{tmp_path}/install.json")
