"""``banger vm session stop``: ask a session to end, and see to it."""

from banger.api import routes
from banger.cli.cmd_vm_session_list import state
from banger.cli.cmd_vm_session_wait import until_end
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    where = (arguments.vm, arguments.session)
    with Client() as client:
        client.document(routes.VM_SESSION_STOP, where, request={"timeout": arguments.timeout or 10.0})
        session = until_end(client, where)
    if arguments.json:
        terminal.document(session)
    else:
        terminal.say(f"{session['name'] or session['id']} {state(session)}")
    return 0
