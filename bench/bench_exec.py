"""A warm ``true`` in a machine: through the library, through the command, and through a fresh ssh into it."""

from tests.home import BANGER

from bench.guests import Ssh, machine
from bench.measure import Finding, Place, compare, interleave, program, timed

ROUNDS = 9


def measure(place: Place) -> list[Finding]:
    from banger.sdk.client import Client
    from banger.sdk.sandbox import Sandbox

    home = place.home
    with machine(home) as name:
        ssh = Ssh(home, name, place.scratch)
        with Client(home.paths.socket) as client, Sandbox.existing(name, client=client) as box:
            times = interleave(
                ROUNDS,
                {
                    "ssh": program(ssh.command("true")),
                    "command": program([*BANGER, "exec", name, "--", "true"], home.env),
                    "library": lambda: timed(lambda: box.exec(["true"], check=True)),
                },
            )
    return [
        compare("a fresh ssh against the library", times, "ssh", "library", "at least", 10),
        compare("a fresh ssh against the command", times, "ssh", "command", "at least", 4),
    ]
