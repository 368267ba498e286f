"""``banger vm forward``: ports of this host that lead into a machine, for as long as this runs.

The daemon listens; that it goes on is what the open reply says. Works on plain data, as `banger.cli.cmd_vm_list` does.
"""

from banger import document
from banger.api import routes
from banger.cli.change import carry_out
from banger.cli.cmd_vm_show import place
from banger.cli.terminal import cell
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        if arguments.keep:
            return _publish(client, arguments, terminal)
        reply = client.open(routes.VM_FORWARD, arguments.vm, query={"port": arguments.port}, quiet=True)
        with reply:
            lines = reply.lines()
            told = document.loads(next(lines))
            if arguments.json:
                terminal.document(told)
            else:
                for each in told["forwards"]:
                    terminal.print(line(told["name"], each))
                terminal.say("listening; Ctrl-C ends it", "dim")
            terminal.flush()
            for _ in lines:
                pass  # nothing more is said until the end
    terminal.say(f"{cell(told['name'])} does not run any more")
    return 0


def _publish(client: Client, arguments: "Namespace", terminal: "Terminal") -> int:
    before = {place(each) for each in client.document(routes.VM_SHOW, arguments.vm).get("published", ())}
    carry_out(client, client.begin(routes.VM_SET, arguments.vm, {"publish": arguments.port}), terminal)
    vm = client.document(routes.VM_SHOW, arguments.vm)
    added = [each for each in vm["published"] if place(each) not in before]
    if arguments.json:
        terminal.document({"name": vm["name"], "forwards": added})
    else:
        for each in added:
            terminal.print(line(vm["name"], each))
    return 0


def line(name: str, told: "dict[str, Any]") -> str:
    """``127.0.0.1:8080 -> web:80``, and whether others than this host reach it."""
    loopback = told["address"] == "::1" or told["address"].startswith("127.")
    return f"{place(told)} -> {cell(name)}:{told['guest']}{'' if loopback else '  (open to other hosts)'}"
