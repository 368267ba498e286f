"""``banger vm delete``: machines and their disks."""

from banger.api import routes
from banger.cli.change import each_vm

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    return each_vm(arguments, terminal, routes.VM_DELETE)
