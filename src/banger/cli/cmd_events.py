"""``banger events``: what changes, as it changes."""

import time

from banger.cli.terminal import Terminal, cell
from banger.cli.verb import Namespace
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.api.event import Event


def run(arguments: Namespace, terminal: Terminal) -> int:
    with Client() as client:
        events = client.events()
        if terminal.live:
            terminal.say("listening; Ctrl-C ends it", "dim")
        for event in events:
            terminal.print(_document(event) if arguments.json else line(event))
    return 0


def _document(event: "Event") -> str:
    import json

    import msgspec

    return json.dumps(msgspec.to_builtins(event))


def line(event: "Event") -> str:
    """One event as text: ``12:00:01  machine  web  running``."""
    moment = time.strftime("%H:%M:%S", time.localtime(event.time))
    if event.kind == "lost":
        return f"{moment}  {event.count} events were lost"
    what = event.change if event.kind == "operation" else event.kind
    reason = f" ({cell(event.reason)})" if event.reason else ""
    return f"{moment}  {cell(what)}  {cell(event.name)}  {cell(event.state)}{reason}"
