"""``banger vm kill``: switch machines off at once."""

from banger.cli.change import each_vm
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace


def run(arguments: Namespace, terminal: Terminal) -> int:
    return each_vm(arguments, terminal, lambda client, vm: client.vm_kill(vm))
