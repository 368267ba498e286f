"""A real web server on loopback whose answers a test chooses, path by path; and bundles to serve.

with Web() as web:
    web.serve("/a", data)                      # an honest server, Range and ETag included
    web.paths["/b"] = web.cutting(data, 1000)  # one that breaks off
    url = web.url("/a")
"""

import hashlib
import http.server
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from banger.bundles import manifest, pack
from banger.bundles.pack import Packed
from banger.bundles.receive import Source
from banger.bundles.unpack import ROOTFS

Answer = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection; hands each request to the answer of its path."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.seen.append((self.path, self.headers.get("Range", "")))
        answer = self.server.paths.get(self.path)
        if answer is None:
            self.send_error(404)
        else:
            answer(self)

    def begin(self, status: int, **headers: str) -> None:
        """The head of a reply; underscores in names stand for hyphens."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Connection", "close")
        self.end_headers()

    def offset(self) -> int:
        """Where the client wants to begin."""
        wanted = self.headers.get("Range", "")
        return int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: `_Server.seen` has what matters."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    paths: dict[str, Answer]
    seen: list[tuple[str, str]]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error of the test's."""


class Web:
    """The server; ``seen`` lists path and Range of every request."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), Handler)
        self.paths: dict[str, Answer] = {}
        self.seen: list[tuple[str, str]] = []
        self._server.paths, self._server.seen = self.paths, self.seen
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.stopped = threading.Event()
        """Set at the end: answers that wait, wait for it."""

    def __enter__(self) -> "Web":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def serve(self, path: str, data: bytes, most: int | None = None) -> str:
        """Serve ``data``, of which each connection gets ``most`` bytes before it breaks; the URL."""

        def answer(handler: Handler) -> None:
            begin = handler.offset()
            part = data[begin:]
            tag = f'"{hashlib.sha256(data).hexdigest()}"'
            if begin:
                where = f"bytes {begin}-{len(data) - 1}/{len(data)}"
                handler.begin(206, Content_Length=str(len(part)), Content_Range=where, ETag=tag)
            else:
                handler.begin(200, Content_Length=str(len(data)), ETag=tag)
            handler.wfile.write(part[:most])

        self.paths[path] = answer
        return self.url(path)

    def redirect(self, path: str, target: str) -> str:
        self.paths[path] = lambda handler: handler.begin(302, Location=target, Content_Length="0")
        return self.url(path)


class Bundle(NamedTuple):
    """A bundle's bytes, and how a catalog names them once they are at a URL."""

    data: bytes
    packed: Packed

    def source(self, url: str) -> Source:
        return Source(url, self.packed.sha256, self.packed.size)

    def entry(self, name: str, url: str, noun: str = "image", **more: str) -> str:
        """The TOML of a catalog's entry."""
        lines = [f"[{noun}.{name}]", 'kind = "bundle"', f'url = "{url}"', f'sha256 = "{self.packed.sha256}"']
        lines += [f"size = {self.packed.size}", *(f'{key} = "{value}"' for key, value in more.items())]
        return "\n".join(lines) + "\n"


def image_bundle(directory: Path, rootfs: bytes | Path, *, kernel_ref: str = "", arch: str = "amd64") -> Bundle:
    """A sound bundle around a root file system."""
    directory.mkdir(exist_ok=True)
    path = rootfs if isinstance(rootfs, Path) else directory / ROOTFS
    if isinstance(rootfs, bytes):
        path.write_bytes(rootfs)
    described = manifest.Manifest(
        name="box",
        arch=arch,
        kernel_ref=kernel_ref,
        size=path.stat().st_size,
        sha256=pack.digest(str(path)),
    )
    packed = pack.pack(manifest.encode(described), [(ROOTFS, str(path))], str(directory / "bundle.tar.zst"))
    return Bundle(Path(packed.path).read_bytes(), packed)
