"""A registry on loopback that answers what a test wants, also what no registry should.

with HostileRegistry() as registry:
    registry.image([layer])                        # an honest image as demo/image:latest
    registry.blobs[digest] = [b"first", b"then"]   # answers one after another; the last one stays
    registry.manifests["latest"] = (kind, data)
    name = registry.reference()
"""

import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
REPOSITORY = "/v2/demo/image/"

Answer = bytes | Callable[["Handler"], None]
"""What is sent as it is, or who writes everything."""


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def described(kind: str, data: bytes, **lies: Any) -> dict[str, Any]:
    """The descriptor of a blob, honest but for ``lies``."""
    return {"mediaType": kind, "digest": digest(data), "size": len(data), **lies}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: "HostileRegistry"

    def log_message(self, format: str, *arguments: object) -> None:
        """Tests look at what comes of it."""

    def do_HEAD(self) -> None:
        self.send_error(404)

    def do_GET(self) -> None:
        registry = self.registry
        kind, _, name = self.path.removeprefix(REPOSITORY).partition("/")
        registry.asked.append(self.path)
        if self.path == "/v2/":
            self.answer("application/json", b"{}")
        elif kind == "manifests" and name in registry.manifests:
            self.answer(*registry.manifests[name])
        elif kind == "blobs" and name in registry.blobs:
            answers = registry.blobs[name]
            self.answer("application/octet-stream", answers.pop(0) if len(answers) > 1 else answers[0])
        else:
            self.send_error(404)

    def answer(self, kind: str, answer: Answer, length: int | None = None) -> None:
        if callable(answer):
            answer(self)
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer) if length is None else length))
        self.end_headers()
        self.wfile.write(answer)


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client has enough; that is what most tests are about."""


class HostileRegistry:
    """One repository, demo/image."""

    def __init__(self) -> None:
        self.manifests: dict[str, tuple[str, Answer]] = {}
        self.blobs: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        handler = type("Bound", (Handler,), {"registry": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> "HostileRegistry":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def reference(self, rest: str = ":latest") -> str:
        return f"127.0.0.1:{self._server.server_address[1]}/demo/image{rest}"

    def add(self, data: bytes) -> None:
        """An honest blob."""
        self.blobs[digest(data)] = [data]

    def image(self, contents: Sequence[bytes], *, architecture: str = "amd64", **lies: Any) -> dict[str, Any]:
        """An honest image of layers, whose manifest has ``lies`` in the place of its members; the manifest."""
        rootfs = {"type": "layers", "diff_ids": [digest(each) for each in contents]}
        config = json.dumps({"architecture": architecture, "os": "linux", "rootfs": rootfs}).encode()
        for each in (config, *contents):
            self.add(each)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described(CONFIG, config),
            "layers": [described(LAYER, each) for each in contents],
            **lies,
        }
        self.put(MANIFEST, manifest)
        return manifest

    def put(self, kind: str, document: object, tag: str = "latest") -> str:
        """A manifest by its tag and its digest, which is returned."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.manifests[tag] = self.manifests[digest(data)] = (kind, data)
        return digest(data)


def endless(handler: Handler) -> None:
    """A body without an end."""
    handler.send_response(200)
    handler.send_header("Content-Type", MANIFEST)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True
    while True:
        handler.wfile.write(bytes(1 << 20))


def redirect(target: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.send_response(307)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def cut(data: bytes) -> Callable[[Handler], None]:
    """Half of it, and the connection ends."""

    def answer(handler: Handler) -> None:
        handler.answer("application/octet-stream", data[: len(data) // 2], len(data))
        handler.close_connection = True

    return answer
