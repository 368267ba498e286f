"""``banger vm prune``: delete machines that do not run, after they were shown and somebody has agreed.

What is deleted is what was shown: a machine that was started in between is left alone by the daemon.
"""

import os
import sys
import time

import banger
from banger.api import routes
from banger.cli.change import each_target
from banger.cli.durations import format_age
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

COLUMNS = (("name", "NAME"), ("state", "STATE"), ("image", "IMAGE"), ("id", "ID"), ("created", "CREATED"))
YES = ("y", "yes")


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    if not arguments.force and not os.isatty(0):
        raise banger.errors.UsageError(detail="there is no terminal to ask on: --force deletes without a question")
    with Client() as client:
        found = [
            each for each in client.document(routes.VM_LIST, query={"label": arguments.label})["vms"] if prunable(each)
        ]
        if not found:
            return _nothing(arguments, terminal)
        if not arguments.force and not _agreed(found, terminal):
            terminal.say("nothing was deleted")
            return 1
        return each_target(
            client,
            [each["id"] for each in found],
            lambda reference: reference,
            lambda vm: client.begin(routes.VM_DELETE, vm, {"at_rest": True}),
            terminal,
            json=arguments.json,
        )


def prunable(vm: "dict[str, Any]") -> bool:
    """Whether a machine neither runs nor is in the middle of a change."""
    return vm["state"] != "running" and not vm.get("operation")


def _nothing(arguments: "Namespace", terminal: "Terminal") -> int:
    if arguments.json:
        terminal.document({"results": []})
    else:
        terminal.say("no machine is at rest")
    return 0


def _agreed(found: "Sequence[dict[str, Any]]", terminal: "Terminal") -> bool:
    now = time.time()
    rows = [{**each, "id": each["id"][:12], "created": format_age(now - each["created"])} for each in found]
    terminal.table(rows, COLUMNS, stderr=True)
    noun = "this machine and its disk" if len(found) == 1 else f"these {len(found)} machines and their disks"
    terminal.ask(f"Delete {noun}? [y/N] ")
    return sys.stdin.readline().strip().lower() in YES
