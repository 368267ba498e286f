"""``banger vm workspace prepare``: import a repository into a machine, or what has changed of it since."""

import os

from banger import errors
from banger.api.workspace import Workspace
from banger.cli import workspace as shown
from banger.cli.terminal import Terminal, cell
from banger.cli.verb import Namespace
from banger.sdk import workspace
from banger.sdk.client import Client


def run(arguments: Namespace, terminal: Terminal) -> int:
    with Client() as client:
        last = client.vm_show(arguments.vm).workspace
        taken = workspace.again(
            _source(arguments, last),
            last,
            untracked=arguments.include_untracked or None,
            branch=arguments.branch,
            start=getattr(arguments, "from"),
        )
        if arguments.dry_run:
            shown.show(taken, workspace.place(taken, last), arguments.json, terminal)
            return 0
        with shown.watched(arguments.vm, terminal) as watch:
            done = workspace.send(client, arguments.vm, taken, last, overwrite=arguments.overwrite, watch=watch)
    if arguments.json:
        terminal.document({"vm": arguments.vm, **{key: getattr(done, key) for key in done.__struct_fields__}})
        return 0
    shown.tell(taken, terminal)
    terminal.print(cell(done.path))
    return 0


def _source(arguments: Namespace, last: Workspace | None) -> str:
    if arguments.path is not None:
        return os.path.abspath(str(arguments.path))
    if last is None:
        raise errors.NoWorkspace(name=arguments.vm)
    return last.source
