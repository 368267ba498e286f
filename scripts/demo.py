"""Boot a real machine and show it: ``make demo``.

Obtains the default kernel and the default image unless they are there, creates a machine, runs commands in it,
deletes it, and prints the time of each phase. Everything goes through the command line, as a user would.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BANGER = Path(sys.executable).parent / "banger"
IMAGE = "debian-bookworm"
NAME = f"demo-{os.getpid()}"

COMMANDS = (
    ("uname", "-srm"),
    ("sh", "-c", '. /etc/os-release; echo "$PRETTY_NAME, $(nproc) processors, init is $(readlink -f /sbin/init)"'),
    ("sh", "-c", "echo to stderr >&2; exit 42"),
)
"""What is run in the machine. The last shows that an exit status comes back as it is."""


class DemoFailed(Exception):
    """A step did not end as it must; the text says which."""


class Clock:
    """The phases so far and how long each took."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, float]] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.phases.append((name, time.monotonic() - begun))

    def table(self) -> str:
        rows = [*self.phases, ("all", sum(seconds for _, seconds in self.phases))]
        return "\n".join(f"  {name:<28}{seconds:8.1f} s" for name, seconds in rows)


def banger(*arguments: str, expect: int = 0) -> None:
    """Run banger for the user to see, and say what is run."""
    print(f"$ banger {' '.join(quoted(each) for each in arguments)}", flush=True)
    status = subprocess.run([str(BANGER), *arguments], stdin=subprocess.DEVNULL, check=False).returncode
    if status != expect:
        raise DemoFailed(f"'banger {' '.join(arguments[:3])} ...' ended with status {status}, not {expect}")


def quoted(word: str) -> str:
    return f"'{word}'" if any(each in word for each in ' ;$"') else word


def names(noun: str) -> set[str]:
    """The names that ``banger NOUN list`` knows."""
    done = subprocess.run([str(BANGER), noun, "list", "--json"], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise DemoFailed(f"'banger {noun} list' ended with status {done.returncode}")
    document = json.loads(done.stdout)
    rows = document if isinstance(document, list) else next(iter(document.values()))
    return {row["name"] for row in rows}


def show(clock: Clock) -> None:
    """The demo itself."""
    if not names("kernel"):
        with clock.phase("obtain the kernel"):
            banger("kernel", "pull")
    if IMAGE not in names("image"):
        with clock.phase(f"build the image {IMAGE}"):
            banger("image", "pull", IMAGE)
    try:
        with clock.phase("create and boot the machine"):
            banger("vm", "create", "--name", NAME, "--image", IMAGE)
        for number, command in enumerate(COMMANDS):
            with clock.phase(f"run {command[0]}"):
                banger("exec", NAME, "--", *command, expect=42 if number == len(COMMANDS) - 1 else 0)
    finally:
        with clock.phase("delete the machine"):
            banger("vm", "delete", NAME)


def main() -> int:
    clock = Clock()
    try:
        show(clock)
    except DemoFailed as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 1
    command = os.path.relpath(BANGER)
    print(f"\n{clock.table()}\n")
    print(f"banger is at {command}. A machine with a shell, gone when you leave it:  {command} run --rm")
    return 0


if __name__ == "__main__":
    sys.exit(main())
