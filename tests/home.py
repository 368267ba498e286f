"""An installation of banger for one test: four directories, an environment, and a runner for the command line.

The runtime directory lies right below /tmp, because the sockets in it must have short names. Nothing of the user's own
installation is reached: every root is moved by its environment variable.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from banger.paths import Paths

TREE = Path(__file__).resolve().parent.parent
KEPT = ("PATH", "HOME", "USER", "LOGNAME", "BANGER_BUILD_CACHE", "PYTHONPATH", "TMPDIR")
LOG_TAIL = 6000


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    def json(self) -> object:
        """The document on stdout."""
        return json.loads(self.stdout)


class Home:
    """One installation. ``env`` is what its commands get, and tests may add to it."""

    def __init__(self, directory: Path, runtime: Path) -> None:
        self.directory = directory
        self.paths = Paths(
            config=str(directory / "config"),
            state=str(directory / "state"),
            cache=str(directory / "cache"),
            runtime=str(runtime),
        )
        self.env = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.env |= {
            "LANG": "C.UTF-8",
            "BANGER_CONFIG_DIR": self.paths.config,
            "BANGER_STATE_DIR": self.paths.state,
            "BANGER_CACHE_DIR": self.paths.cache,
            "BANGER_RUNTIME_DIR": self.paths.runtime,
        }
        if (TREE / "src").is_dir():
            self.env["PYTHONPATH"] = str(TREE / "src")

    def banger(self, *arguments: str, stdin: bytes | None = None, timeout: float = 240, check: bool = False) -> Ended:
        """Run ``banger ARGUMENTS`` to its end. With ``check`` a status that is not 0 fails the test."""
        done = subprocess.run(
            [*BANGER, *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env=self.env,
            cwd=self.directory,
            timeout=timeout,
            check=False,
        )
        ended = Ended(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
        if check and ended.status != 0:
            raise AssertionError(f"banger {' '.join(arguments)} ended with {ended.status}:\n{ended.stderr}")
        return ended

    def start(self, *arguments: str, **options: object) -> subprocess.Popen[bytes]:
        """Begin ``banger ARGUMENTS`` with pipes, for tests that act while it runs."""
        merged = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen([*BANGER, *arguments], env=self.env, cwd=self.directory, **merged)  # type: ignore[call-overload, no-any-return]

    def stop(self) -> None:
        """End the daemon, if there is one."""
        if os.path.exists(self.paths.socket):
            self.banger("daemon", "stop", timeout=30)

    def leftovers(self) -> list[str]:
        """Files that no running change or machine accounts for, once the daemon has ended."""
        found: list[str] = []
        for top in (self.paths.staging, os.path.join(self.paths.runtime, "vms")):
            found += [os.path.join(top, name) for name in sorted(os.listdir(top))] if os.path.isdir(top) else []
        if os.path.exists(self.paths.socket):
            found.append(self.paths.socket)
        return found

    def evidence(self) -> list[tuple[str, str]]:
        """The ends of the daemon's log and of every console, for the report of a failed test."""
        files = [Path(self.paths.daemon_log), *sorted(Path(self.paths.vms).glob("*/*.log"))]
        return [
            (f"the end of {path}", path.read_bytes()[-LOG_TAIL:].decode(errors="backslashreplace"))
            for path in files
            if path.is_file()
        ]


BANGER = [sys.executable, "-m", "banger.cli"]
"""The command line as the installed script runs it, whether or not the script is installed."""


@contextmanager
def make_home(directory: Path) -> Iterator[Home]:
    """An installation below ``directory``; at the end its daemon is stopped and nothing may be left over."""
    runtime = Path(tempfile.mkdtemp(prefix="bt-", dir="/tmp"))
    home = Home(directory, runtime / "r")
    try:
        yield home
        home.stop()
        left = home.leftovers()
        assert not left, "left over: " + ", ".join(left)
    finally:
        home.stop()
        shutil.rmtree(runtime, ignore_errors=True)


@contextmanager
def passable(directory: Path, *, always: bool = False) -> Iterator[Path]:
    """``directory``, or for root another one, which the unprivileged user of root's machines can pass through.

    With ``always``, for who becomes root in a user namespace as well.
    """
    if os.geteuid() != 0 and not always:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="banger-test-", dir="/var/tmp") as other:
        os.chmod(other, 0o711)  # noqa: S103 - passing through is all that it allows
        yield Path(other)
