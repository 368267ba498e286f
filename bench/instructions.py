"""How many instructions a ``true`` by the library takes, of the client and of the daemon: no neighbour changes them.

    python -m bench.instructions [COUNT]       (50 by default; needs valgrind, and takes a second for each)

One of the two runs under callgrind, which is told to write down and begin anew after each command. The machine is the
fake driver's, with the real agent. What the kernel does is not counted. Seconds are for `bench_exec`.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.fakes import prepare, request
from tests.home import Home, make_home, passable

from banger.sdk.client import Client
from banger.sdk.sandbox import Sandbox
from bench.measure import median

COUNT, WARM = 50, 5
ASK, NAME = "ask", "one"
PATIENCE = 120.0
DAEMON = ["-P", "-m", "banger.daemon.main"]
TOTAL = re.compile(r"^totals: (\d+)$", re.MULTILINE)
TREE = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> None:
    if arguments == [ASK]:
        ask()
        return
    count = int(arguments[0]) if arguments else COUNT
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # also then nothing stays behind
    with tempfile.TemporaryDirectory() as scratch, passable(Path(scratch)) as directory, make_home(directory) as home:
        home.env["PYTHONPATH"] = f"{TREE / 'src'}:{TREE}"
        prepare(home)
        with Client(home.paths.socket) as client:
            client.wait(client.vm_create(request(NAME)))
        try:
            tell("client", of_client(home, Path(scratch), count))
            tell("daemon", of_daemon(home, Path(scratch), count))
        finally:
            home.banger("daemon", "start", check=True)
            home.banger("vm", "delete", NAME, check=True)


def tell(whose: str, counts: list[int]) -> None:
    print(f"{whose}: {median(counts):,.0f} instructions, {min(counts):,} to {max(counts):,} in {len(counts)} commands")


def ask() -> None:
    """The client: a command for each line on stdin."""
    box = Sandbox.existing(NAME)
    for _ in sys.stdin:
        box.exec(["true"], check=True)
        print(flush=True)


def of_client(home: Home, scratch: Path, count: int) -> list[int]:
    with counted(home, scratch / "client", ["-m", "bench.instructions", ASK]) as client:
        return counts(client, client, scratch / "client", count)


def of_daemon(home: Home, scratch: Path, count: int) -> list[int]:
    home.banger("daemon", "stop", check=True)
    with counted(home, scratch / "daemon", DAEMON) as daemon:
        limit = time.monotonic() + PATIENCE
        while not os.path.exists(home.paths.socket):
            if daemon.poll() is not None or time.monotonic() > limit:
                raise SystemExit("the daemon did not start under callgrind")
            time.sleep(0.1)
        with running(home, [sys.executable, "-m", "bench.instructions", ASK]) as client:
            return counts(daemon, client, scratch / "daemon", count)


def counts(who: "subprocess.Popen[bytes]", client: "subprocess.Popen[bytes]", out: Path, count: int) -> list[int]:
    """What ``who`` takes for each of so many commands of ``client``, after a few that do not count."""
    assert client.stdin is not None and client.stdout is not None
    for number in range(WARM + count):
        client.stdin.write(b"\n")
        client.stdin.flush()
        if client.stdout.readline() != b"\n":
            raise SystemExit("a command failed")
        if number >= WARM - 1:
            subprocess.run(["callgrind_control", "--dump", str(who.pid)], capture_output=True, check=True)
    dumps = sorted(out.parent.glob(f"{out.name}.*"), key=lambda each: int(each.suffix[1:]))
    totals = [TOTAL.search(each.read_text()) for each in dumps]
    return [int(each[1]) for each in totals[1:] if each is not None]


@contextlib.contextmanager
def counted(home: Home, out: Path, arguments: list[str]) -> "Iterator[subprocess.Popen[bytes]]":
    """Python under callgrind, until the end of the block."""
    valgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
    with running(home, [*valgrind, sys.executable, *arguments]) as process:
        yield process


@contextlib.contextmanager
def running(home: Home, argv: list[str]) -> "Iterator[subprocess.Popen[bytes]]":
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(argv, env=home.env, cwd=home.directory, **pipes)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.stdin.close()
        process.terminate()  # for a daemon that is an end in order
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


if __name__ == "__main__":
    main(sys.argv[1:])
