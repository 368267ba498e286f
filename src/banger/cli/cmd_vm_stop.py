"""``banger vm stop``: power machines off in order."""

from banger.cli.change import each_vm
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace


def run(arguments: Namespace, terminal: Terminal) -> int:
    return each_vm(arguments, terminal, lambda client, vm: client.vm_stop(vm, arguments.timeout or 30.0))
