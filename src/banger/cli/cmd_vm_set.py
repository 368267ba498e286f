"""``banger vm set``: change what machines are."""

import banger
from banger.api import routes
from banger.cli.change import each_vm

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    request = {
        "vcpu": arguments.vcpu,
        "memory": arguments.memory,
        "disk_size": arguments.disk_size,
        "work_disk_size": arguments.work_disk,
        "nat": _either(arguments, "nat"),
        "peers": _either(arguments, "peers"),
    }
    if arguments.publish or arguments.unpublish:
        request |= {"publish": arguments.publish, "unpublish": arguments.unpublish}
    if all(value is None for value in request.values()):
        raise banger.errors.UsageError(detail="say what is to change; see 'banger help vm set'")
    return each_vm(arguments, terminal, routes.VM_SET, request)


def _either(arguments: "Namespace", name: str) -> bool | None:
    """What ``--NAME`` and ``--no-NAME`` say; None when neither is there."""
    wanted, unwanted = getattr(arguments, name), getattr(arguments, f"no_{name}")
    if wanted and unwanted:
        raise banger.errors.UsageError(detail=f"--{name} and --no-{name} contradict each other")
    return True if wanted else False if unwanted else None
