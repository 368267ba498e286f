"""``banger vm health``: what a machine's agent says of itself and its guest."""

from banger.cli.durations import format_duration
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.sdk.client import Client


def run(arguments: Namespace, terminal: Terminal) -> int:
    with Client() as client:
        health = client.vm_health(arguments.vm)
    if arguments.json:
        terminal.document(health)
        return 0
    terminal.facts(
        (
            ("agent", f"{health.agent_version} (protocol {health.protocol})"),
            ("init", health.init),
            ("hostname", health.hostname),
            ("boot id", health.boot_id),
            ("uptime", format_duration(health.uptime)),
            ("clock", f"{health.clock_offset:+.3f} s"),
        )
    )
    return 0
