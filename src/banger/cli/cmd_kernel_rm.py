"""``banger kernel rm``: refused while a machine uses it."""

from banger.api import routes
from banger.cli.change import each_target
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        return each_target(
            client,
            arguments.kernel,
            lambda reference: str(client.document(routes.KERNEL_SHOW, reference)["name"]),
            lambda kernel: client.begin(routes.KERNEL_DELETE, kernel),
            terminal,
            json=arguments.json,
        )
