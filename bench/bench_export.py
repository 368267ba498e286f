"""A thousand files that were changed in a machine, exported; against ``git diff`` of them in the machine.

Both through the same daemon: what is compared is the untracked files, the care for the index, and the judgement.
"""

from tests.home import BANGER

from bench.guests import machine
from bench.measure import Finding, Place, compare, interleave, program

ROUNDS = 9
FILES = 1000

PREPARE = f"""
git init -q /root/app && cd /root/app && mkdir d
for number in $(seq {FILES}); do seq $number $((number + 200)) > d/file-$number; done
git add -A && git -c user.name=a -c user.email=a@example commit -q -m all
for number in $(seq {FILES}); do sed -i 100s/$/.changed/ d/file-$number; done
git status >/dev/null
"""


def measure(place: Place) -> list[Finding]:
    home = place.home
    with machine(home) as name:
        home.banger("exec", name, "--", "sh", "-c", PREPARE, timeout=600, check=True)
        export = [*BANGER, "vm", "workspace", "export", name, "--guest-path", "/root/app"]
        diff = [*BANGER, "exec", "-w", "/root/app", name, "--", "git", "--no-pager", "diff", "--binary", "--full-index"]
        times = interleave(ROUNDS, {"export": program(export, home.env), "git diff": program(diff, home.env)})
    return [compare("an export against git diff in the machine", times, "export", "git diff", "at most", 1.5)]
