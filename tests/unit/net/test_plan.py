"""Addresses by slot, and the host's own networks beside them."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from banger import errors
from banger.net import plan
from banger.net.plan import HostNetwork, Plan

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
br-fc\t000010AC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
tun0\t000010AC\t00000000\t0001\t0\t0\t0\t0000F0FF\t0\t0\t0
"""


def test_a_guest_has_what_follows_from_its_slot() -> None:
    ours = Plan(IPv4Interface("172.16.0.1/24"))
    assert ours.interface(0) == "172.16.0.2/24"
    assert ours.mac(0) == "02:fc:ac:10:00:02"
    assert plan.tap(0) == "tap-fc-0"
    assert ours.interface(252) == "172.16.0.254/24"
    assert ours.capacity == 253
    with pytest.raises(errors.NetworkFull, match="for 253 machines"):
        ours.address(253)
    with pytest.raises(errors.NetworkFull):
        ours.address(-1)


@pytest.mark.parametrize(
    ("bridge", "addresses"),
    [
        ("10.0.0.2/29", ["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]),
        ("10.0.0.4/29", ["10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"]),
        ("10.0.0.6/29", ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]),
        ("10.0.0.1/30", ["10.0.0.2"]),
        ("10.0.0.2/30", []),
        ("10.0.0.1/31", []),
        ("10.0.0.1/32", []),
    ],
)
def test_the_bridges_own_address_is_nobody_elses(bridge: str, addresses: list[str]) -> None:
    ours = Plan(IPv4Interface(bridge))
    assert ours.capacity == len(addresses)
    assert [str(ours.address(slot)) for slot in range(ours.capacity)] == addresses


def test_loopback_addresses_differ_by_machine_and_user() -> None:
    found = {plan.loopback(slot, uid) for slot in range(2000) for uid in (0, 1000, 1001)}
    assert len(found) == 6000
    assert all(each.is_loopback and each not in IPv4Network("127.0.0.0/16") for each in found)


def test_routes_are_read_and_collisions_named(tmp_path: Path) -> None:
    path = tmp_path / "route"
    path.write_text(ROUTES)
    known = plan.host_networks(str(path))
    lan = HostNetwork("eth0", IPv4Network("10.0.0.0/24"))
    tunnel = HostNetwork("tun0", IPv4Network("172.16.0.0/12"))
    assert known == [lan, HostNetwork("br-fc", IPv4Network("172.16.0.0/24")), tunnel]
    assert plan.collisions(IPv4Network("172.16.0.0/24"), known, "br-fc") == [tunnel]
    assert plan.collisions(IPv4Network("10.0.0.0/8"), known, "br-fc") == [lan]
    assert plan.suggestion(known) == IPv4Network("10.0.1.0/24")


def test_this_hosts_routes_can_be_read() -> None:
    assert isinstance(plan.host_networks(), list)


def test_no_suggestion_where_everything_is_taken() -> None:
    assert plan.suggestion([HostNetwork("x", each) for each in plan.PRIVATE]) is None
    assert plan.suggestion([]) == IPv4Network("172.16.0.0/24")
    assert IPv4Address("172.31.255.0") in (plan.suggestion([], 12) or IPv4Network("0.0.0.0/32"))
