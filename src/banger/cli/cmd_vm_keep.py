"""``banger vm keep``: begin a machine's time limit anew."""

import time

from banger.cli.cmd_vm_show import limit
from banger.cli.durations import parse_duration
from banger.cli.terminal import Terminal, cell
from banger.cli.verb import Namespace
from banger.sdk.client import Client

FOREVER = "forever"


def run(arguments: Namespace, terminal: Terminal) -> int:
    forever = arguments.time == FOREVER
    ttl = None if forever or arguments.time is None else parse_duration(arguments.time)
    with Client() as client:
        vm = client.vm_keep(arguments.vm, ttl, forever=forever)
    if arguments.json:
        terminal.document(vm)
        return 0
    told = limit(vm, time.time())
    terminal.say(f"{cell(vm.name)} has no time limit" if told is None else f"time limit of {cell(vm.name)}: {told}")
    terminal.print(cell(vm.name))
    return 0
