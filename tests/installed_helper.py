"""The real root helper in a directory of its own, for tests and benches that are root."""

import asyncio
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from banger.helper import host as hosts
from banger.helper.ping import Ping
from banger.privileged import archive
from banger.privileged.client import Helper
from tests.helper_server import can_connect, wait_for

OWNER = 54_321


class Installed:
    """An installation in a directory of its own, and its helper."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.zipapp = directory / "bangerd-root.pyz"
        archive.build(str(self.zipapp))
        self.record = directory / "install.json"
        (directory / "state").mkdir()
        os.chown(directory / "state", OWNER, OWNER)
        names = {name: str(directory / name) for name in ("state", "private", "runtime")}
        self.record.write_text(json.dumps({"owner_uid": OWNER, "owner_gid": OWNER, "unknown": 1, **names}))
        self.socket = directory / "runtime" / "bangerd-root.sock"
        self.process: subprocess.Popen[str] | None = None

    def launch(self, *, log: int = subprocess.PIPE, **how: Any) -> "subprocess.Popen[str]":
        argv = ["/usr/bin/python3", "-IS", str(self.zipapp), "--record", str(self.record)]
        self.process = subprocess.Popen(argv, stderr=log, text=True, **how)
        return self.process

    def start(self, *, log: int = subprocess.PIPE) -> None:
        process = self.launch(log=log)
        wait_for(lambda: process.poll() is not None or can_connect(str(self.socket)))
        assert process.poll() is None

    def end(self) -> list[dict[str, Any]]:
        """Stop it; what it said."""
        assert self.process is not None
        self.process.terminate()
        _, said = self.process.communicate(timeout=30)
        assert self.process.returncode == 0
        return [json.loads(line) for line in said.splitlines()]

    def said_at_start(self) -> str:
        """What it says instead of serving."""
        _, said = self.launch().communicate(timeout=30)
        assert self.process is not None and self.process.returncode == 1
        return said

    def ping(self) -> dict[str, object]:
        return dict(asyncio.run(Helper(str(self.socket), hosts.load(str(self.record))).perform(Ping())).values)


@contextmanager
def installed_helper() -> Iterator[Installed]:
    """An installation, and at the end no helper of it."""
    with tempfile.TemporaryDirectory(prefix="bh-", dir="/tmp") as directory:  # a socket's path is short
        os.chmod(directory, 0o755)  # noqa: S103 - its owner and others have to get there
        made = Installed(Path(directory))
        yield made
        if made.process is not None:
            if made.process.poll() is None:
                made.process.kill()
            made.process.communicate()
