"""``banger vm restart``: power machines off in order, then start them."""

from banger.cli.change import each_vm
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace


def run(arguments: Namespace, terminal: Terminal) -> int:
    return each_vm(arguments, terminal, lambda client, vm: client.vm_restart(vm, arguments.timeout or 30.0))
