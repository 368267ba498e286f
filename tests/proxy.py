"""A TCP proxy on loopback for tests: passes connections on, and breaks them where the test says.

    with Proxy(registry.port) as proxy:
        proxy.cut(100_000)             # the next answer that grows beyond that is cut there, once
        proxy.cut(100_000, times=99)   # every one
        proxy.hold()                   # answers stop in the middle until `release`
        reference = proxy.reference("demo/image:latest")

What was asked for is read from the requests: `asked("GET", "/blobs/")`, and `offsets`, the bytes to begin at. One
thread for each direction; they end with their connections, all of which the end of the context closes.
"""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

_REQUEST = re.compile(rb"^(GET|HEAD) (\S+) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)*)", re.MULTILINE)
_RANGE = re.compile(rb"^Range: bytes=(\d+)-\r$", re.MULTILINE)
_CHUNK = 16 << 10


class Proxy:
    """One listening socket before one port."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._requests: list[tuple[str, str, int]] = []
        self._limit, self._times = 0, 0
        self.cuts = 0
        self._open = threading.Event()
        self._open.set()
        self.reached = threading.Event()
        """An answer has come to where it is held."""
        self._held_at = 0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Proxy":
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.set()
        with self._lock:
            sockets = [self._listener, *self._sockets]
        for each in sockets:
            _shut(each)
        for thread in self._threads:
            thread.join()
        for each in sockets:
            each.close()

    def reference(self, name: str) -> str:
        return f"127.0.0.1:{self.port}/{name}"

    def cut(self, after: int, times: int = 1) -> None:
        """Break the next ``times`` connections that answer more than ``after`` bytes, or beyond that byte of a blob."""
        with self._lock:
            self._limit, self._times = after, times

    @contextmanager
    def held(self, after: int) -> Iterator[None]:
        """While the body runs, answers stop when they have grown beyond ``after`` bytes."""
        self.reached.clear()
        self._held_at = after
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def asked(self, method: str = "GET", part: str = "") -> list[str]:
        """The paths that were asked for, and hold ``part``, in order."""
        with self._lock:
            return [path for each, path, _ in self._requests if each == method and part in path]

    def offsets(self, part: str) -> list[int]:
        """Of the same requests, the byte that each wanted to begin at."""
        with self._lock:
            return [offset for method, path, offset in self._requests if method == "GET" and part in path]

    def forget(self) -> None:
        with self._lock:
            self._requests.clear()

    # -- threads ------------------------------------------------------------------------------------------------------

    def _spawn(self, target: object, *arguments: object) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._sockets += [client, server]
            begin = [0]
            self._spawn(self._requests_of, client, server, begin)
            self._spawn(self._answers_of, server, client, begin)

    def _requests_of(self, client: socket.socket, server: socket.socket, begin: list[int]) -> None:
        for data in _received(client):
            with self._lock:
                for method, path, headers in _REQUEST.findall(data):
                    wanted = _RANGE.search(headers)
                    begin[0] = int(wanted[1]) if wanted else 0
                    self._requests.append((method.decode(), path.decode(), begin[0]))
            if not _sent(server, data):
                break
        _shut(server)

    def _answers_of(self, server: socket.socket, client: socket.socket, begin: list[int]) -> None:
        done = 0
        for data in _received(server):
            done += len(data)
            if not self._open.is_set() and done > self._held_at:
                self.reached.set()
                self._open.wait()
            if self._cuts_here(begin[0] + done) or not _sent(client, data):
                break
        _shut(client)
        _shut(server)

    def _cuts_here(self, done: int) -> bool:
        with self._lock:
            if self._times and done > self._limit:
                self._times -= 1
                self.cuts += 1
                return True
            return False


def _received(source: socket.socket) -> Iterator[bytes]:
    try:
        while data := source.recv(_CHUNK):
            yield data
    except OSError:
        return


def _sent(target: socket.socket, data: bytes) -> bool:
    try:
        target.sendall(data)
    except OSError:
        return False
    return True


def _shut(each: socket.socket) -> None:
    """End a connection; whoever waits for it is woken, which closing alone would not do."""
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
