"""``banger vm set``: change what machines are."""

from banger import errors
from banger.cli.change import each_vm
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace


def run(arguments: Namespace, terminal: Terminal) -> int:
    from banger.api.vm import SetVm

    request = SetVm(
        vcpu=arguments.vcpu,
        memory=arguments.memory,
        disk_size=arguments.disk_size,
        work_disk_size=arguments.work_disk,
        nat=_either(arguments, "nat"),
        peers=_either(arguments, "peers"),
    )
    if request == SetVm():
        raise errors.UsageError(detail="say what is to change; see 'banger help vm set'")
    return each_vm(arguments, terminal, lambda client, vm: client.vm_set(vm, request))


def _either(arguments: Namespace, name: str) -> bool | None:
    """What ``--NAME`` and ``--no-NAME`` say; None when neither is there."""
    wanted, unwanted = getattr(arguments, name), getattr(arguments, f"no_{name}")
    if wanted and unwanted:
        raise errors.UsageError(detail=f"--{name} and --no-{name} contradict each other")
    return True if wanted else False if unwanted else None
