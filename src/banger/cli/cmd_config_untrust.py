"""``banger config untrust``: take back what ``config trust`` has agreed to."""

from banger.cli.cmd_config_trust import meant
from banger.config.trust import Trusted
from banger.paths import Paths
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    path = meant(arguments.path)
    was = Trusted(Paths.from_environment().trusted).forget(path)
    terminal.say(f"{printable(path, 4096)} {'is trusted no more' if was else 'was not trusted'}")
    return 0
