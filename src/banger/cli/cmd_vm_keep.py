"""``banger vm keep``: begin a machine's time limit anew."""

import time

from banger.api import routes
from banger.cli.cmd_vm_show import limit
from banger.cli.durations import parse_duration
from banger.cli.terminal import cell
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

FOREVER = "forever"


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    forever = arguments.time == FOREVER
    ttl = None if forever or arguments.time is None else parse_duration(arguments.time)
    with Client() as client:
        vm = client.document(routes.VM_KEEP, arguments.vm, request={"ttl": ttl, "forever": forever})
    if arguments.json:
        terminal.document(vm)
        return 0
    told = limit(vm, time.time())
    terminal.say(
        f"{cell(vm['name'])} has no time limit" if told is None else f"time limit of {cell(vm['name'])}: {told}"
    )
    terminal.print(cell(vm["name"]))
    return 0
