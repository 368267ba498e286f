"""How a host reaches what listens in its machines."""
# ruff: noqa: S104 - what is bound so in a guest

import asyncio
from ipaddress import ip_address

import pytest

from banger import errors
from banger.guest.listeners import Listener, Listeners, Transport
from banger.guest.web import Scheme
from banger.vmm.driver import Network, TapNetwork, UserNetwork
from banger.vms import ports, resolving
from banger.vms.published import Place as Bound
from tests.installation import scenario
from tests.unit.vms.test_resolving import machine

TAP = TapNetwork(tap="tap-fc-1", address="172.16.0.3/24", gateway="172.16.0.1", dns="1.1.1.1", mac="02:fc:ac:10:00:03")
USER = UserNetwork()


def told(*sockets: tuple[str, int] | tuple[str, int, Transport]) -> Listeners:
    made = [Listener(rest[0] if rest else "tcp", ip_address(host), port, 7, "serve") for host, port, *rest in sockets]
    return Listeners(made, True)


@pytest.mark.parametrize(
    ("network", "address", "reason"),
    [
        (TAP, "0.0.0.0", None),
        (TAP, "::", None),
        (TAP, "172.16.0.3", None),
        (TAP, "127.0.0.1", "loopback"),
        (TAP, "127.0.0.53", "loopback"),
        (TAP, "::1", "loopback"),
        (TAP, "172.17.0.1", "address"),
        (TAP, "fe80::1", "address"),
        (TAP, "224.0.0.251", "address"),
        (USER, "0.0.0.0", "network"),
        (USER, "10.0.2.15", "network"),
        (USER, "10.0.2.16", "address"),
        (USER, "::1", "loopback"),
        (None, "::", "network"),
        (None, "10.0.2.15", "address"),
    ],
)
def test_the_ways_there(network: Network | None, address: str, reason: str | None) -> None:
    assert ports.unreachable(machine("web", 1, "running", network), ip_address(address)) == reason


def test_what_clients_see() -> None:
    web = machine("web", 1, "running", TAP)
    listening = told(("0.0.0.0", 80), ("::", 443), ("127.0.0.1", 80), ("172.16.0.3", 53, "udp"), ("::", 22))
    seen = ports.view(web, listening, {("127.0.0.1", 80): "http", ("127.0.0.1", 443): "https"})
    assert (seen.name, seen.address, seen.complete) == ("web", "172.16.0.3", True)
    assert [(each.protocol, each.endpoint, each.unreachable, each.scheme, each.link) for each in seen.ports] == [
        ("tcp", "web.vm:80", None, "http", "http://web.vm:80/"),
        ("tcp6", "web.vm:443", None, "https", "https://web.vm:443/"),
        ("tcp", None, "loopback", None, None),
        ("udp", "web.vm:53", None, None, None),
        ("tcp6", "web.vm:22", None, None, None),
    ]
    assert (seen.ports[0].pid, seen.ports[0].process) == (7, "serve")


def test_without_a_network_of_its_own_there_is_a_scheme_and_no_link() -> None:
    seen = ports.view(machine("web", 1, "running", USER), told(("0.0.0.0", 80)), {("127.0.0.1", 80): "http"})
    (port,) = seen.ports
    assert (seen.address, port.scheme, port.endpoint, port.unreachable, port.link) == (
        None,
        "http",
        None,
        "network",
        None,
    )


@scenario
async def test_each_place_is_asked_once_and_loopback_never() -> None:
    asked: list[tuple[int, str]] = []

    async def ask(port: int, host: str) -> Scheme | None:
        asked.append((port, host))
        return "http" if port == 80 else None

    listening = told(
        ("0.0.0.0", 80), ("::", 80), ("172.16.0.3", 81), ("127.0.0.1", 82), ("0.0.0.0", 83, "udp"), ("172.17.0.1", 84)
    )
    found = await ports.schemes(machine("web", 1, "running", TAP), listening, ask)
    assert sorted(asked) == [(80, "127.0.0.1"), (81, "172.16.0.3")]
    assert found == {("127.0.0.1", 80): "http"}


@scenario
async def test_ports_that_hold_up_or_fail_take_nothing_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "ALL_SECONDS", 0.2)
    at_once = most = 0

    async def ask(port: int, host: str) -> Scheme | None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            if port % 2:
                await asyncio.Event().wait()
            if port > 10:
                raise errors.AgentLost(reason="it has gone away")
            return "http"
        finally:
            at_once -= 1

    many = told(*(("0.0.0.0", port) for port in range(1, 200)))
    found = await ports.schemes(machine("web", 1, "running", TAP), many, ask)
    assert found == {("127.0.0.1", port): "http" for port in (2, 4, 6, 8, 10)}
    assert (at_once, most) == (0, ports.AT_ONCE)


@scenario
async def test_a_fault_of_ours_is_not_hidden() -> None:
    async def ask(port: int, host: str) -> Scheme | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ports.schemes(machine("web", 1, "running", TAP), told(("0.0.0.0", 80)), ask)


def test_ways_by_ports_of_the_host() -> None:
    web, own = machine("web", 1, "running", USER), str(resolving.own(machine("web", 1, "running", USER)))
    listening = told(
        ("0.0.0.0", 80), ("127.0.0.1", 81), ("10.0.2.15", 82), ("::1", 83), ("0.0.0.0", 84), ("127.0.0.1", 81, "udp")
    )
    here, there = Bound("127.0.0.1", 8080), Bound("0.0.0.0", 8081)
    bound = {
        there: 81,
        Bound("0.0.0.0", 8082): 80,
        here: 80,
        Bound(own, 80): 80,
        Bound(own, 83): 83,
        Bound("::1", 9): 82,
    }
    ways = ports.ways(bound)
    seen = ports.view(web, listening, {("127.0.0.1", 80): "http", ("127.0.0.1", 81): "http"}, ways)
    assert [(each.port, each.endpoint, each.unreachable, each.forwards, each.link) for each in seen.ports] == [
        (80, "web.vm:80", None, ["127.0.0.1:8080", "0.0.0.0:8082"], "http://127.0.0.1:8080/"),
        (81, "0.0.0.0:8081", None, ["0.0.0.0:8081"], "http://127.0.0.1:8081/"),
        (82, None, "network", [], None),
        (83, "web.vm:83", None, [], None),
        (84, None, "network", [], None),
        (81, None, "loopback", [], None),
    ]
    assert ports.place(web, listening.sockets[1]) is None
    assert ports.place(web, listening.sockets[1], ways) == ("127.0.0.1", 81), "it can be asked now"
    bridged = machine("web", 1, "running", TAP)
    direct = ports.view(bridged, told(("0.0.0.0", 80)), {("127.0.0.1", 80): "http"}, ports.ways({here: 80})).ports[0]
    assert (direct.endpoint, direct.forwards, direct.link) == (
        "web.vm:80",
        ["127.0.0.1:8080"],
        "http://127.0.0.1:8080/",
    )
