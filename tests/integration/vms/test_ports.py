"""What listens in a machine whose agent is the real one, and so tells of this host."""
# ruff: noqa: S104 - a server that is asked by this test alone

import asyncio
import os

import pytest

from banger import errors
from banger.guest import web
from banger.guest.channel import Channel
from banger.vmm.driver import TapNetwork
from banger.vms import talking
from tests.installation import Daemon, Installation, scenario

BRIDGED = TapNetwork(tap="t", address="172.16.0.2/24", gateway="172.16.0.1", dns="1.1.1.1", mac="02:fc:ac:10:00:02")

scheme = web.scheme


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)
    writer.write(b"HTTP/1.0 204 No Content\r\n\r\n")
    writer.close()
    await writer.wait_closed()


def ask_only(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """The other servers of this host are not the test's to speak to."""

    async def ask(channel: Channel, port: int, host: str) -> web.Scheme | None:
        return await scheme(channel, port, host) if port in ports else None

    monkeypatch.setattr(web, "scheme", ask)


async def on_a_bridge(daemon: Daemon, port: int) -> None:
    """As if the machine had an address of its own."""
    daemon.vms._machines.change(daemon.vms.show("one").id, network=BRIDGED)
    for _ in range(20):  # on a busy host the answer may come too late
        told = await daemon.vms.ports("one")
        (found,) = [each for each in told.ports if each.port == port]
        if found.link:
            break
    assert (told.name, told.address) == ("one", "172.16.0.2")
    assert (found.protocol, found.address, found.pid) == ("tcp", "0.0.0.0", os.getpid())
    assert (found.endpoint, found.unreachable) == (f"one.vm:{port}", None)
    assert (found.scheme, found.link) == ("http", f"http://one.vm:{port}/")


@scenario
async def test_a_server_in_a_machine_has_a_link(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        everywhere, inside = [await asyncio.start_server(greet, host, 0) for host in ("0.0.0.0", "127.0.0.1")]
        port, private = (each.sockets[0].getsockname()[1] for each in (everywhere, inside))
        ask_only(monkeypatch, port, private)
        await on_a_bridge(daemon, port)
        (hidden,) = [each for each in (await daemon.vms.ports("one")).ports if each.port == private]
        assert (hidden.unreachable, hidden.endpoint, hidden.scheme) == ("loopback", None, None)
        for server in (everywhere, inside):
            server.close()
            await server.wait_closed()
        assert port not in [each.port for each in (await daemon.vms.ports("one")).ports]


@scenario
async def test_a_machine_that_cannot_answer(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        monkeypatch.setattr(talking, "PATIENCE", 0.0)
        with pytest.raises(errors.GuestSilent) as silent:
            await daemon.vms.ports("one")
        assert "banger vm logs one" in silent.value.advice
        assert (await daemon.vms.health("one")).init, "the attachment is as it was"
        await daemon.done(await daemon.vms.kill("one"))
        with pytest.raises(errors.WrongState):
            await daemon.vms.ports("one")
        with pytest.raises(errors.NotFound):
            await daemon.vms.ports("absent")
