"""``banger image promote``."""

from banger.api import routes
from banger.cli.change import make

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    return make(arguments, terminal, routes.IMAGE_PROMOTE, routes.IMAGE_SHOW, arguments.image)
