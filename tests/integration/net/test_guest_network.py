"""The daemon's side of the network with real parts: operations, a guest's stack, and our DNS server between them."""

import asyncio
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import dns.message
import pytest

from banger import errors
from banger.helper import turn
from banger.net.nameserver import Server
from banger.net.service import Guest, GuestNetwork
from banger.net.zone import Zone
from banger.privileged.operations import Bridge, Rules, Tap
from banger.privileged.runner import Local
from tests.integration.helper import rig
from tests.integration.helper.rig import Namespace, ip, nft

pytestmark = pytest.mark.root
PORT = 42069


@pytest.fixture
def inside() -> Iterator[Namespace]:
    with rig.namespace() as made, made:
        yield made


def test_from_the_first_guest_to_the_last_undo(inside: Namespace, tmp_path: Path) -> None:
    host = rig.installation(tmp_path)

    async def test() -> None:
        zone = Zone(lambda name: [IPv4Address("172.16.0.3")] if name == "web" else [], lambda _: None)
        server = Server(zone)
        ours = GuestNetwork(Local(host), server, port=PORT, upstream="192.0.2.53", pool_size=2, taken=lambda: (0, 1))
        try:
            cables = await asyncio.gather(*(ours.connect(Guest(slot=slot, nat=slot == 1)) for slot in (0, 1)))
            assert [each.address for each in cables] == ["172.16.0.2/24", "172.16.0.3/24"]
            assert "systemd-resolved does not run here" in ours.names_problem
            await ours.pool.settle()
            assert ours.pool.idle == {2, 3}
            await asyncio.to_thread(_ask, "web.vm")
            ip("link delete dev tap-fc-2")
            await ours.disconnect(0)
            assert (await ours.connect(Guest(slot=2))).tap == "tap-fc-2"
            assert "tap-fc-2" in ip("link show")
        finally:
            await ours.close()
            await server.close()

    asyncio.run(test())
    assert "table inet banger" in nft("list tables")
    for operation in (*(Tap(slot=slot) for slot in range(5)), Rules(guests=()), Bridge()):
        turn.perform(operation, host, undo=True)
    assert nft("list tables") == ""
    assert ip("-oneline link show").count("\n") == 1, "the loopback alone"
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "0\n"


def _ask(name: str) -> None:
    """As a guest: its question for port 53 of the gateway comes to our server, and the answer back."""
    guest = rig.Guest(0)
    try:
        with guest.udp() as asked:
            query = dns.message.make_query(name, "A")
            asked.settimeout(rig.PATIENCE)
            asked.sendto(query.to_wire(), ("172.16.0.1", 53))
            reply = dns.message.from_wire(asked.recv(2000))
            assert query.is_response(reply)
            assert "172.16.0.3" in reply.answer[0].to_text()
    finally:
        guest.close()


def test_a_bridge_of_somebody_else_is_named_and_left_alone(inside: Namespace, tmp_path: Path) -> None:
    host = rig.installation(tmp_path)
    ip("link add name br-fc type bridge")

    async def test() -> None:
        server = Server(Zone(lambda _: [], lambda _: None))
        ours = GuestNetwork(Local(host), server, port=0, upstream="192.0.2.53", pool_size=0, taken=tuple)
        with pytest.raises(errors.PrivilegeRefused, match="br-fc is a bridge that banger did not make"):
            await ours.connect(Guest(slot=0))

    asyncio.run(test())
    assert "br-fc" in ip("link show")
