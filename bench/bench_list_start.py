"""What the shortest verb costs: modules loaded and time, against an interpreter that does nothing."""

import subprocess
import sys

from bench.measure import Finding, Place, compare, interleave, program

ROUNDS = 21
COUNT = "import sys; print(len(sys.modules), file=sys.stderr)"
COMMAND = "from banger.cli.main import command; command()"
"""The command line as the installed script runs it; the words follow."""

LIST = "from banger.cli.main import main; main(['vm', 'list'])"


def modules(code: str, env: dict[str, str]) -> int:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{COUNT}"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
    )
    return int(done.stderr.split()[-1])


def measure(place: Place) -> list[Finding]:
    home = place.home
    home.banger("daemon", "start", check=True)
    more = modules(LIST, home.env) - modules("pass", home.env)
    nothing = program([sys.executable, "-c", "pass"], home.env)
    listing = program([sys.executable, "-c", COMMAND, "vm", "list"], home.env)
    times = interleave(ROUNDS, {"list": listing, "pass": nothing})
    return [
        Finding("modules beyond those of an empty program", more, "at most", 40),
        compare("time against an empty program", times, "list", "pass", "at most", 2),
    ]
