"""``banger system install``: returns when the daemon and the root helper answer."""

import os

from banger import errors
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.system import install
from banger.text import printable


def run(arguments: Namespace, terminal: Terminal) -> int:
    owner = arguments.owner or os.environ.get("SUDO_USER")
    install.need_root()
    if not owner:
        raise errors.UsageError(detail="say whose the installation is: --owner USER")
    done = install.install(install.Wish(owner, arguments.force, arguments.address))
    if arguments.json:
        record = done.record
        terminal.document(
            {
                "owner": record.owner,
                "version": record.version,
                "upgraded": done.upgraded,
                "lacking": [{"what": each.text, "mend": each.mend} for each in done.lacking],
                "commands_left_alone": done.taken,
            }
        )
        return 0
    for each in done.lacking:
        terminal.say(f"{printable(each.text)}", "yellow")
        terminal.say(f"  {printable(each.mend)}", "dim")
    for path in done.taken:
        terminal.say(f"{path} is somebody else's, and was left alone; the services do not need it", "yellow")
    terminal.print(f"banger {done.record.version} is {'upgraded' if done.upgraded else 'installed'}")
    terminal.say(f"the machines are {done.record.owner}'s; 'banger doctor' checks this host")
    return 0
