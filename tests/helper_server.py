"""A helper's server with the operations of `tests.helper_operations`, as whoever runs it: ``... DIR N SECONDS``.

DIR/run/bangerd-root.sock is its socket, DIR/state its state directory; N is how many requests it performs at a time,
SECONDS how long one may take.
Also what the tests of the helper need to talk to it without the client: raw frames, and the lines of its log.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from banger.helper import protocol
from banger.helper.host import Host
from banger.helper.main import bound
from banger.helper.server import CHILDREN, LIFETIME, Server
from tests.helper_operations import OPERATIONS

PATIENCE = 30.0


def host_of(directory: Path) -> Host:
    return Host(
        owner_uid=os.getuid(),
        owner_gid=os.getgid(),
        state=str(directory / "state"),
        runtime=str(directory / "run"),
    )


class Running:
    """A server as a child of the test's, its log in a file."""

    def __init__(self, directory: Path, argv: Sequence[str]) -> None:
        self.directory = directory
        self.host = host_of(directory)
        self.log = directory / "log"
        self._argv = argv
        self.start()

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self._argv, stderr=log, stdout=log, stdin=subprocess.DEVNULL)
        wait_for(lambda: can_connect(self.host.socket) or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def exchange(self, data: bytes, descriptors: Sequence[int] = ()) -> bytes | None:
        """Send bytes and hang up on that side; the body of the reply."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(self.host.socket)
            try:
                protocol.send(connection, data, descriptors, PATIENCE)
                connection.shutdown(socket.SHUT_WR)
            except (protocol.Lost, OSError):
                pass
            try:
                body, received = protocol.receive(connection, PATIENCE)
            except protocol.Lost:
                return None
            protocol.close_all(received)
            return body


def can_connect(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(path) == 0


def wait_for(condition: Any) -> None:
    """Until it holds; the test fails when it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.01)


@contextmanager
def server(directory: Path, children: int = CHILDREN, lifetime: float = LIFETIME) -> Iterator[Running]:
    """A server of test operations."""
    (directory / "state").mkdir()
    argv = [sys.executable, "-m", "tests.helper_server", str(directory), str(children), str(lifetime)]
    running = Running(directory, argv)
    try:
        yield running
    finally:
        running.end(signal.SIGKILL)


def main() -> None:
    host = host_of(Path(sys.argv[1]))
    with bound(host) as listener:
        Server(listener, host, OPERATIONS, children=int(sys.argv[2]), lifetime=float(sys.argv[3])).run()


if __name__ == "__main__":
    main()
