"""Making a machine from the arguments that `vm run` and `vm create` share."""

import contextlib
import os
from typing import TYPE_CHECKING

from banger import errors
from banger.cli.change import carry_out
from banger.cli.progress import Display
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.paths import Paths
from banger.sdk.sandbox import hold

if TYPE_CHECKING:
    from banger.api.operation import Operation
    from banger.api.vm import CreateVm
    from banger.sdk.client import Client
    from banger.sdk.transport import Reply


def request(arguments: Namespace, *, start: bool = True, ephemeral: bool = False) -> "CreateVm":
    from banger.api.vm import CreateVm

    return CreateVm(
        name=arguments.name,
        image=arguments.image,
        kernel=arguments.kernel,
        vcpu=arguments.vcpu,
        memory=arguments.memory,
        disk_size=arguments.disk_size,
        work_disk_size=arguments.work_disk,
        nat=arguments.nat or None,
        peers=arguments.peers or None,
        env=arguments.env,
        labels=arguments.label,
        ttl=arguments.ttl,
        token=getattr(arguments, "token", None),
        start=start,
        ephemeral=ephemeral,
    )


def create(client: "Client", wanted: "CreateVm", terminal: Terminal) -> "tuple[Reply | None, Operation]":
    """Make a machine and show how; with the hold that keeps it, when it is ephemeral. Ctrl-C cancels and undoes."""
    operation = client.vm_create(wanted)
    warn_root(terminal)
    display = Display(terminal)
    try:
        return hold(client, operation, wanted.ephemeral, display.show)
    except KeyboardInterrupt:
        terminal.say("cancelling")
        with contextlib.suppress(errors.NotFound):
            carry_out(client, client.operation_cancel(operation.id), terminal)
        _delete_finished(client, operation)
        raise errors.Cancelled() from None
    finally:
        display.clear()


def _delete_finished(client: "Client", operation: "Operation") -> None:
    """A machine whose making had ended before it could be cancelled is not what was asked for any more."""
    with contextlib.suppress(errors.NotFound):
        client.wait(client.vm_delete(operation.subject_id or operation.subject))


def warn_root(terminal: Terminal) -> None:
    """Say once what running as root means."""
    if os.geteuid() != 0:
        return
    paths = Paths.from_environment()
    if paths.system:
        return  # the daemon and its machines are the owner's
    with contextlib.suppress(OSError):
        told = os.open(
            paths.root_told,
            os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_WRONLY,
            0o600,
        )
        os.close(told)
        terminal.say("running as root: these machines are root's own, apart from those of other users")
