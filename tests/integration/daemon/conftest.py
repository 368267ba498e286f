"""A daemon's process and a client that sends exactly what it is told to."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, unix_connect

from banger.paths import Paths

TREE = Path(__file__).resolve().parents[3]
PATIENCE = 30.0


class UnixHttp(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("banger", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


class Daemon:
    """One installation and the daemon's process in it, which a test may kill and start again."""

    def __init__(self, directory: Path, runtime: Path) -> None:
        self.paths = Paths(
            config=str(directory / "config"),
            state=str(directory / "state"),
            cache=str(directory / "cache"),
            runtime=str(runtime),
        )
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{TREE / 'src'}:{TREE}",
            "BANGER_CONFIG_DIR": self.paths.config,
            "BANGER_STATE_DIR": self.paths.state,
            "BANGER_CACHE_DIR": self.paths.cache,
            "BANGER_RUNTIME_DIR": self.paths.runtime,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.log = directory / "log"

    def launch(self) -> subprocess.Popen[bytes]:
        """Start a process without waiting for anything."""
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.integration.daemon.stand_in"],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start(self) -> "Daemon":
        """Start it, and wait until it answers."""
        self.process = self.launch()
        self.wait_for(self.answers)
        return self

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError):
            return self.get("/v1/daemon")[0] == 200
        return False

    def wait_for(self, condition: Any) -> None:
        """Wait until ``condition()`` is true; the time limit is for a machine that hangs, not a measure."""
        limit = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < limit, f"waited in vain; the log says:\n{self.log.read_text()}"
            time.sleep(0.02)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and decoded document of one call."""
        connection = UnixHttp(self.paths.socket)
        with contextlib.closing(connection):
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, headers)
            reply = connection.getresponse()
            text = reply.read()
            return reply.status, json.loads(text) if text else None

    def get(self, path: str) -> tuple[int, Any]:
        return self.call("GET", path)

    @contextlib.contextmanager
    def stream(self, path: str) -> Iterator[http.client.HTTPResponse]:
        """A reply whose body is still to be read; the client goes away at the end of the block."""
        connection = UnixHttp(self.paths.socket)
        with contextlib.closing(connection):
            connection.request("GET", path)
            reply = connection.getresponse()
            with contextlib.closing(reply):
                yield reply

    def raw(self, data: bytes) -> bytes:
        """What comes back for bytes that need not be HTTP."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(self.paths.socket)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while chunk := connection.recv(65536):
                    received += chunk
            return received

    @contextlib.contextmanager
    def exec(self, *argv: str, machine: str = "m", **options: Any) -> Iterator[ClientConnection]:
        """An exec stream that has asked for ``argv``."""
        with unix_connect(self.paths.socket, f"ws://banger/v1/vms/{machine}/exec", compression=None) as connection:
            connection.send(json.dumps({"argv": list(argv), **options}))
            yield connection

    def make(self, name: str = "m") -> str:
        """A machine; its operation's id."""
        status, operation = self.call("POST", "/v1/vms", {"name": name})
        assert status == 202, operation
        return str(operation["id"])

    def make_at_rest(self, name: str) -> None:
        """A machine whose making has ended."""
        operation = self.make(name)
        self.wait_for(lambda: self.get(f"/v1/operations/{operation}")[1]["state"] == "done")

    def notes(self) -> list[str]:
        """What the services have noted."""
        path = Path(self.paths.state, "notes")
        return path.read_text().splitlines() if path.exists() else []

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal it, and wait for its end."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self.process = None
        return status


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that has not been started."""
    with tempfile.TemporaryDirectory(prefix="banger-", dir="/tmp") as short:
        daemon = Daemon(tmp_path, Path(short, "run"))
        yield daemon
        if daemon.process is not None:
            daemon.end(signal.SIGKILL)


@pytest.fixture
def daemon(installation: Daemon) -> Daemon:
    """A daemon that answers."""
    return installation.start()
