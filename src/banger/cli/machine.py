"""Making a machine from the arguments that `vm run` and `vm create` share."""

import os

import banger
from banger.api import routes
from banger.cli.change import cancelled, carry_out
from banger.cli.progress import Display
from banger.paths import Paths
from banger.sdk.change import hold

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace
    from banger.sdk.change import Change
    from banger.sdk.client import Client
    from banger.sdk.transport import Reply


def request(arguments: "Namespace", *, start: bool = True, ephemeral: bool = False) -> dict[str, object]:
    """What is to be made, in the terms of `banger.api.vm.CreateVm`."""
    return {
        "name": arguments.name,
        "image": arguments.image,
        "kernel": arguments.kernel,
        "vcpu": arguments.vcpu,
        "memory": arguments.memory,
        "disk_size": arguments.disk_size,
        "work_disk_size": arguments.work_disk,
        "nat": arguments.nat or None,
        "peers": arguments.peers or None,
        "publish": arguments.publish,
        "env": arguments.env,
        "labels": arguments.label,
        "ttl": arguments.ttl,
        "token": getattr(arguments, "token", None),
        "start": start,
        "ephemeral": ephemeral,
    }


def create(client: "Client", wanted: dict[str, object], terminal: "Terminal") -> "tuple[Reply | None, Change]":
    """Make a machine and show how; with the hold that keeps it, when it is ephemeral. Ctrl-C cancels and undoes."""
    change = client.begin(routes.VM_CREATE, request=wanted)
    warn_root(terminal)
    display = Display(terminal)
    try:
        return hold(client, change, bool(wanted["ephemeral"]), display.show)
    except KeyboardInterrupt:
        terminal.say("cancelling")
        try:
            carry_out(client, cancelled(client, change), terminal)
        except banger.errors.NotFound:
            pass
        _delete_finished(client, change)
        raise banger.errors.Cancelled() from None
    finally:
        display.clear()


def _delete_finished(client: "Client", change: "Change") -> None:
    """A machine whose making had ended before it could be cancelled is not what was asked for any more."""
    try:
        client.wait(client.begin(routes.VM_DELETE, change.subject_id or change.subject))
    except banger.errors.NotFound:
        pass


def warn_root(terminal: "Terminal") -> None:
    """Say once what running as root means."""
    if os.geteuid() != 0:
        return
    paths = Paths.from_environment()
    if paths.system:
        return  # the daemon and its machines are the owner's
    try:
        told = os.open(
            paths.root_told,
            os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_WRONLY,
            0o600,
        )
    except OSError:
        return  # it has been said
    os.close(told)
    terminal.say("running as root: these machines are root's own, apart from those of other users")
