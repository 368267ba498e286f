"""A fresh ``ssh NAME.vm true``: through banger's own connection, and over the guest's network."""

from bench.guests import Ssh, machine
from bench.measure import Finding, Place, compare, interleave, program

ROUNDS = 11


def measure(place: Place) -> list[Finding]:
    home = place.home
    with machine(home) as name:
        network = Ssh(home, name, place.scratch)
        own = ["ssh", "-F", home.paths.ssh_config, f"{name}.vm", "true"]
        subjects = {"network": program(network.command("true"), home.env), "own": program(own, home.env)}
        times = interleave(ROUNDS, subjects)
    return [compare("ssh through the agent against the guest's network", times, "own", "network", "at most", 1.3)]
