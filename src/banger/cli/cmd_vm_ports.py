"""``banger vm ports``: what listens in machines, and how the host reaches it."""

import banger
from banger.api import routes
from banger.cli import targets
from banger.cli.cmd_vm_show import place
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

    Outcome = dict[str, Any] | banger.errors.BangerError

COLUMNS = (
    ("name", "NAME"),
    ("protocol", "PROTOCOL"),
    ("address", "ADDRESS"),
    ("port", "PORT"),
    ("process", "PROCESS"),
    ("endpoint", "ENDPOINT"),
    ("link", "LINK"),
)
REASONS = {"loopback": "(loopback only)", "address": "(another address)", "network": "(not forwarded)"}
"""In the place of an endpoint."""

AT_ONCE = 16


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        outcomes = _ask_all(_wanted(client, arguments.vm))
    found = [each for _, each in outcomes if not isinstance(each, Exception)]
    failures = [each for _, each in outcomes if isinstance(each, Exception)]
    if arguments.json:
        terminal.document({"machines": [_result(reference, outcome) for reference, outcome in outcomes]})
    elif found or not failures:
        terminal.table([each for machine in found for each in rows(machine)], COLUMNS)
    for each in found:
        if not each["complete"]:
            terminal.say(f"{each['name']} has more sockets than are shown")
    if failures:
        from banger.cli.failures import Failures

        raise Failures(failures)
    return 0


def rows(machine: "dict[str, Any]") -> "list[dict[str, object]]":
    """What the table shows of one machine; ports of the host that lead to nothing at the end."""
    name = machine["name"]
    listening = {port["port"] for port in machine["ports"] if port["protocol"].startswith("tcp")}
    idle: dict[int, list[str]] = {}
    for each in machine.get("forwards", ()):
        if each["guest"] not in listening:
            idle.setdefault(each["guest"], []).append(place(each))
    nobody = {"name": name, "protocol": "tcp", "process": "(nothing listens)"}
    return [
        *(row(name, port) for port in machine["ports"]),
        *({**nobody, "port": guest, "endpoint": ", ".join(ways)} for guest, ways in idle.items()),
    ]


def row(name: str, port: "dict[str, Any]") -> "dict[str, object]":
    """What the table shows of one socket."""
    process = port["process"] or ("?" if port["pid"] else None)
    return {
        **port,
        "name": name,
        "process": process and f"{process} ({port['pid']})",
        "endpoint": _endpoints(port) or REASONS.get(port["unreachable"]),
    }


def _endpoints(port: "dict[str, Any]") -> str:
    """By name, where there is a way by it, and by ports of the host."""
    ways = [port["endpoint"], *port.get("forwards", ())]
    return ", ".join(dict.fromkeys(each for each in ways if each))


def _wanted(client: Client, references: "Sequence[str]") -> "list[tuple[str, str | banger.errors.BangerError]]":
    """Each machine once, in the order given, by its id or with the reason why there is none; else all that run."""
    if not references:
        known = client.document(routes.VM_LIST)["vms"]
        return [(each["name"], each["id"]) for each in known if each["state"] == "running"]
    identify = targets.identities(client, references)
    wanted: dict[str, tuple[str, str | banger.errors.BangerError]] = {}
    for reference in references:
        try:
            identity = identify(reference)
        except banger.errors.BangerError as error:
            wanted[f"not found: {reference}"] = (reference, error)
        else:
            wanted.setdefault(identity, (reference, identity))
    return list(wanted.values())


def _ask_all(wanted: "Sequence[tuple[str, str | banger.errors.BangerError]]") -> "list[tuple[str, Outcome]]":
    """Ask all machines side by side: each takes as long as its slowest port."""
    if len(wanted) < 2:
        return [(reference, _ask(identity)) for reference, identity in wanted]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(AT_ONCE) as threads:
        told = threads.map(_ask, [identity for _, identity in wanted])
        return [(reference, outcome) for (reference, _), outcome in zip(wanted, told, strict=True)]


def _ask(identity: "str | banger.errors.BangerError") -> "Outcome":
    if isinstance(identity, Exception):
        return identity
    try:
        with Client() as client:  # one is not for several threads
            return client.document(routes.VM_PORTS, identity)
    except banger.errors.BangerError as error:
        return error


def _result(reference: str, outcome: "Outcome") -> "dict[str, object]":
    if isinstance(outcome, Exception):
        failure = {"code": outcome.code, "message": outcome.message, "hint": outcome.advice}
        return {"name": reference, "ports": [], "error": failure}
    return {**outcome, "error": None}
