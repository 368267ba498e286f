"""``banger daemon start``: does nothing when one answers."""

from banger.api import routes
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        status = client.document(routes.DAEMON_STATUS)
    if arguments.json:
        terminal.document(status)
    else:
        terminal.print(f"the daemon runs (pid {status['pid']}) at {status['socket']}")
    return 0
