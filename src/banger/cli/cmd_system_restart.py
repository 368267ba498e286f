"""``banger system restart``: the helper, then the daemon; machines go on."""

from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.system import install, services, status


def run(arguments: Namespace, terminal: Terminal) -> int:
    install.need_root()
    found = status.require(status.look())
    services.start(found)
    if arguments.json:
        terminal.document({"restarted": True, "owner": found.owner})
    else:
        terminal.print("both services answer; machines go on")
    return 0
