"""What an idle daemon takes, what records add to it, and whether a list stays quick with many of them."""

from bench.measure import Finding, Place, compare, daemon_pid, interleave, memory, timed

ROUNDS = 9


def measure(place: Place) -> list[Finding]:
    from banger.api.vm import CreateVm
    from banger.sdk.client import Client

    home = place.home
    home.banger("daemon", "start", check=True)
    home.banger("vm", "list", check=True)
    pid = daemon_pid(home)
    idle = memory(pid)
    sizes: dict[int, float] = {}
    times: dict[str, list[float]] = {}
    with Client(home.paths.socket) as client:
        for number in range(1, 1001):
            client.wait(client.vm_create(CreateVm(name=f"record-{number}", start=False)))
            if number in (1, 100, 1000):
                sizes[number] = memory(pid)
                times |= interleave(
                    ROUNDS, {f"{number} records": lambda: timed(lambda: home.banger("vm", "list", check=True))}
                )
    return [
        Finding("an idle daemon", idle, "at most", 60, " MB"),
        Finding("what 100 records add", sizes[100] - sizes[1], "at most", 5, " MB", {"sizes": sizes}),
        compare("listing 1,000 records against 1", times, "1000 records", "1 records", "at most", 1.5),
    ]
