"""``banger system uninstall``: the host as it was before, but for what users have made."""

from argparse import Namespace

from banger.cli.terminal import Terminal
from banger.system import uninstall


def run(arguments: Namespace, terminal: Terminal) -> int:
    done = uninstall.uninstall(purge=arguments.purge, force=arguments.force)
    if arguments.json:
        terminal.document({"stopped": done.stopped, "kept": done.kept})
        return 0
    if done.stopped:
        terminal.say(f"stopped: {', '.join(done.stopped)}")
    terminal.print("banger is no service of this host any more")
    if done.kept:
        terminal.say(f"kept: {', '.join(done.kept)}; 'sudo banger system uninstall --purge' removes them")
    return 0
