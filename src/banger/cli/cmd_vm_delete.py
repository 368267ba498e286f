"""``banger vm delete``: machines and their disks."""

from argparse import Namespace

from banger.cli.change import each_target
from banger.cli.terminal import Terminal
from banger.sdk.client import Client


def run(arguments: Namespace, terminal: Terminal) -> int:
    with Client() as client:
        return each_target(
            client,
            arguments.vm,
            lambda reference: client.vm_show(reference).id,
            lambda vm: client.vm_delete(vm),
            terminal,
            json=arguments.json,
        )
