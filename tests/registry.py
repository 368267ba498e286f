"""A real registry on loopback for tests: Debian's docker-registry, one process and one directory each.

    with Registry(tmp_path) as registry:
        registry.push("oci:" + layout, "demo/busybox:latest")
        reference = registry.reference("demo/busybox:latest")      # 127.0.0.1:PORT/demo/busybox:latest

It speaks plain HTTP on a port that the kernel chose, to everybody or (``locked``) to `USER` with `PASSWORD`. Blobs lie
where `blob` says, so that a test can damage them. Leaving the context ends the process that was started here and no
other.
"""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""

USER, PASSWORD = "demo", "secret"
LOCK = "auth: {{htpasswd: {{realm: demo, path: {path}}}}}\n"
PASSWORDS = "demo:$2y$05$gn5N.R3sNk6xGa8g36zAAe7H7reAae8Ee3mTsle26bK/l7NtnSqAa\n"  # htpasswd -nbB demo secret

POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


class Registry:
    """One docker-registry process that serves ``directory``/registry."""

    def __init__(self, directory: Path, *, locked: bool = False) -> None:
        self.root = directory / "registry"
        self.locked = locked
        self.log = directory / "registry.log"
        self.config = directory / "registry.yml"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Registry":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Serve; on the port of before when it ran already, otherwise on a new one."""
        self.root.mkdir(parents=True, exist_ok=True)
        for _ in range(5):  # between choosing a port and binding it somebody else may take it
            port = self.port or _free_port()
            self.config.write_text(CONFIG.format(root=self.root, port=port) + self._lock())
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [_program("docker-registry"), "serve", str(self.config)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            if self._answers(port):
                self.port = port
                return
            self.stop()
        raise RuntimeError(f"docker-registry does not answer: {self.log.read_text()[-2000:]}")

    def _lock(self) -> str:
        if not self.locked:
            return ""
        passwords = self.config.with_name("passwords")
        passwords.write_text(PASSWORDS)
        return LOCK.format(path=passwords)

    def stop(self) -> None:
        """End the process that this object started, and wait for it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self, port: int) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5):
                    return True
            except urllib.error.HTTPError:  # it asks for a password
                return True
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.02)
        return False

    def reference(self, name: str) -> str:
        """The reference of ``name`` (repository:tag) in this registry."""
        return f"127.0.0.1:{self.port}/{name}"

    def push(self, source: str, name: str, *arguments: str) -> str:
        """Copy the skopeo image ``source`` to ``name`` here; returns its reference. ``arguments`` go to skopeo."""
        skopeo("copy", "--dest-tls-verify=false", *arguments, source, f"docker://{self.reference(name)}")
        return self.reference(name)

    def blob(self, digest: str) -> Path:
        """The file that holds a blob."""
        encoded = digest.removeprefix("sha256:")
        return self.root / "docker/registry/v2/blobs/sha256" / encoded[:2] / encoded / "data"

    def requests(self) -> str:
        """What the process has said so far."""
        return self.log.read_text()


def skopeo(*arguments: str) -> str:
    """Run skopeo with a policy of its own, so that tests need no file in /etc; returns its stdout."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".json") as policy:
        policy.write(POLICY)
        policy.flush()
        done = subprocess.run(
            [_program("skopeo"), "--policy", policy.name, *arguments], capture_output=True, text=True, timeout=300
        )
    if done.returncode != 0:
        raise RuntimeError(f"skopeo {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _program(name: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    if path is None:
        raise RuntimeError(f"{name} is not installed; the tests need it")
    return path
