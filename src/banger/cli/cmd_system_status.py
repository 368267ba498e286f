"""``banger system status``: looks, and starts nothing.

The exit status is 0 when every part answers, 3 when banger is not installed as a service, and 1 otherwise.
"""

from banger import errors
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.system import status


def run(arguments: Namespace, terminal: Terminal) -> int:
    found = status.look()
    record = found.installed
    if record is None:
        if arguments.json:
            terminal.document({"installed": False, "version": found.version})
        else:
            terminal.print("banger is not installed as a service of this host")
        return errors.NotFound.exit_status
    if arguments.json:
        terminal.document(
            {
                "installed": True,
                "owner": record.owner,
                "version": record.version,
                "installed_at": record.installed_at,
                "units": [each._asdict() for each in found.units],
                "faults": found.faults,
            }
        )
    else:
        other = "" if record.version == found.version else f" (this is {found.version})"
        facts = [("owner", f"{record.owner} (uid {record.owner_uid})"), ("version", record.version + other)]
        facts += [("installed", record.installed_at), ("state", record.state), ("helper's socket", record.socket)]
        facts += [
            (each.name, found.faults.get(each.name, f"answers (pid {each.pid})" if each.pid else each.active))
            for each in found.units
        ]
        terminal.facts(facts)
    return 1 if found.faults else 0
