"""``banger image cache prune``: the same table whether it removes or only counts."""

from banger.api import routes
from banger.cli.change import carry_out
from banger.config.sizes import format_size
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

COLUMNS = (("what", "WHAT"), ("blobs", "BLOBS"), ("size", "SIZE"))


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        if arguments.dry_run:
            found = client.document(routes.IMAGE_CACHE)
        else:
            found = carry_out(client, client.begin(routes.IMAGE_CACHE_PRUNE), terminal).result
    if arguments.json:
        terminal.document({"blobs": found["blobs"], "bytes": found["bytes"], "dry_run": arguments.dry_run})
    else:
        what = "would be removed" if arguments.dry_run else "removed"
        row = {"what": what, "blobs": str(found["blobs"]), "size": format_size(int(found["bytes"]))}
        terminal.table([row], COLUMNS)
    return 0
