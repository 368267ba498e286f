"""``banger vm health``: what a machine's agent says of itself and its guest."""

from banger.api import routes
from banger.cli.durations import format_duration
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        health = client.document(routes.VM_HEALTH, arguments.vm)
    if arguments.json:
        terminal.document(health)
        return 0
    terminal.facts(
        (
            ("agent", f"{health['agent_version']} (protocol {health['protocol']})"),
            ("init", health["init"]),
            ("hostname", health["hostname"]),
            ("boot id", health["boot_id"]),
            ("uptime", format_duration(health["uptime"])),
            ("clock", f"{health['clock_offset']:+.3f} s"),
        )
    )
    return 0
