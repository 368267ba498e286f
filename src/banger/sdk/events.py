"""Listening to what changes: events as they come, without end."""

from collections.abc import Iterator

import msgspec

from banger.api import routes
from banger.api.event import Event
from banger.sdk.client import Client


def listen(client: Client) -> Iterator[Event]:
    """Events from now on: the daemon listens for us already when this returns. Close it, or leave it, at will."""
    decoder = msgspec.json.Decoder(Event)
    reply = client.open(routes.EVENTS, quiet=True)

    def each() -> Iterator[Event]:
        try:
            yield from map(decoder.decode, reply.lines())
        finally:
            reply.close()

    return each()
