"""A warm ``true`` in a machine: through the library, through the command, and through a fresh ssh into it."""

import sys
from collections.abc import Mapping, Sequence

from bench.bench_list_start import COMMAND
from bench.guests import Ssh, machine
from bench.measure import Finding, Place, compare, interleave, median, program, timed

ROUNDS = 15


def measure(place: Place) -> list[Finding]:
    from banger.sdk.client import Client
    from banger.sdk.sandbox import Sandbox

    home = place.home
    with machine(home) as name:
        ssh = Ssh(home, name, place.scratch)
        with Client(home.paths.socket) as client, Sandbox.existing(name, client=client) as box:
            command = program([sys.executable, "-c", COMMAND, "exec", name, "--", "true"], home.env)
            subjects = {"command": command, "library": lambda: timed(lambda: box.exec(["true"], check=True))}
            nothing = program([sys.executable, "-c", "pass"], home.env)
            start = interleave(ROUNDS, {"pass": nothing, **subjects})
            # apart from the above: a guest goes on working when ssh has left it
            times = interleave(ROUNDS, {"ssh": program(ssh.command("true")), **subjects})
    return [
        compare("a fresh ssh against the library", times, "ssh", "library", "at least", 10),
        compare("a fresh ssh against the command", times, "ssh", "command", "at least", 4),
        _against_the_least(start),
    ]


def _against_the_least(times: Mapping[str, Sequence[float]]) -> Finding:
    """The command against what no program in Python can do without: an interpreter's start, and the exec itself."""
    command, least = median(times["command"]), median(times["library"]) + median(times["pass"])
    return Finding(
        "the command against the library and an empty program",
        command / least,
        "at most",
        1.3,
        " times",
        {"seconds": {"command": round(command, 4), "least": round(least, 4)}},
    )
