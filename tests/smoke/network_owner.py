"""What the owner's daemon does with the network, as a script in the box: two guests are connected, and names answered.

It runs as the owner, whose every request goes to the helper over its socket. It says ``connected``, with what guests
were given, goes on until it is told to end (SIGTERM), and says ``closed``.
"""

import asyncio
import json
import signal
from ipaddress import IPv4Address

from banger.net import checks
from banger.net.nameserver import Server
from banger.net.service import Guest, GuestNetwork
from banger.net.zone import Zone
from banger.privileged.client import Helper
from banger.privileged.installation import load

NAMES = {"web": IPv4Address("172.16.0.2"), "db": IPv4Address("172.16.0.3")}
PORT = 42069


async def main() -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    host = load()
    server = Server(Zone(lambda name: [NAMES[name]] if name in NAMES else [], lambda _: None, [host.network.network]))
    network = GuestNetwork(
        Helper(host.socket, host), server, port=PORT, upstream="192.0.2.53", pool_size=2, taken=lambda: (0, 1)
    )
    guests = [Guest(slot=0, nat=True), Guest(slot=1)]
    cables = await asyncio.gather(*map(network.connect, guests))
    await network.pool.settle()
    say("connected", cables=cables, problem=network.names_problem, idle=sorted(network.pool.idle))
    while not ended.is_set():
        say("looked", routed=await checks.routed(server.addresses))
        await asyncio.wait({asyncio.create_task(ended.wait())}, timeout=2)
    await network.close()
    await server.close()
    say("closed")


def say(event: str, **values: object) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
