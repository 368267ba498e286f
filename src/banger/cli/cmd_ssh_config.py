"""``banger ssh-config``: becomes the program that knows ssh's files. No daemon is needed."""

import os

import banger
from banger.cli.become import become
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace


def run(arguments: Namespace, terminal: Terminal) -> int:
    if arguments.install and arguments.uninstall:
        raise banger.errors.UsageError(detail="--install and --uninstall contradict each other")
    if arguments.file and not (arguments.install or arguments.uninstall):
        raise banger.errors.UsageError(detail="--file is for --install and --uninstall")
    act = "install" if arguments.install else "uninstall" if arguments.uninstall else "show"
    become("banger.ssh.including", {"act": act, "file": os.path.abspath(arguments.file) if arguments.file else ""})
