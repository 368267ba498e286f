"""``banger system uninstall``: the host as it was before, but for what users have made."""

from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.system import uninstall
from banger.text import printable


def run(arguments: Namespace, terminal: Terminal) -> int:
    done = uninstall.uninstall(purge=arguments.purge, force=arguments.force)
    if arguments.json:
        terminal.document({"installed": done.installed, "stopped": done.stopped, "kept": done.kept, "left": done.left})
        return 1 if done.left else 0
    if done.stopped:
        terminal.say(f"stopped: {', '.join(done.stopped)}")
    if done.installed:
        terminal.print("banger is no service of this host any more")
    else:
        terminal.print("banger is not installed as a service of this host: there is nothing to uninstall")
    if done.kept:
        terminal.say(f"kept: {', '.join(done.kept)}; 'sudo banger system uninstall --purge' removes them")
    for each in done.left:
        terminal.say(f"not removed: {printable(each)}", "yellow")
    return 1 if done.left else 0
