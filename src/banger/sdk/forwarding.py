"""Ports of the host that lead into a machine for as long as somebody wants them."""

from collections.abc import Iterator, Sequence

from banger.api import routes
from banger.api.port import Forwarded
from banger.sdk.client import Client
from banger.sdk.decoding import decoder


def hold(client: Client, ref: str, ports: Sequence[str]) -> Iterator[Forwarded]:
    """Where the host listens; it does so when this returns, and no more once the iterator is closed."""
    reply = client.open(routes.VM_FORWARD, ref, query={"port": ports}, quiet=True)

    def told() -> Iterator[Forwarded]:
        try:
            yield from map(decoder(Forwarded), reply.lines())
        finally:
            reply.close()

    return told()
