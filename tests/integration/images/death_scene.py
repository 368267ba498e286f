"""Run by test_image_deaths: a daemon dies at every boundary of a change, and the next one finds its work undone.

The boundaries are found, not listed: every commit of the engine and of the images' records, every call that changes
the installation's files, the start of every child, and every word of progress. A
process of its own goes through the change and is killed at the first boundary, the next one at the second, and so on
until one reaches the end. Every attempt is also the proof that the change can be made again after the death before.
"""

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from banger.api.image import ImportImage, PullImage, RegisterImage
from banger.api.operation import Operation
from banger.api.recipe import BuildImage, RecipeFile
from banger.bundles.pack import Packed
from banger.engine import run as engine_run
from banger.images.record import RECORD, ROOTFS
from banger.oci import debian
from banger.store.database import Database
from banger.store.operations import Operations
from banger.store.records import Records
from tests import debian_archive, web
from tests.home import BANGER
from tests.installation import MIB, Daemon, Installation

SIZE = 64 * MIB
NAME = "victim"
KINDS = {"replace": "image.pull", "bundle": "image.pull", "directory": "image.import", "suite": "image.build"}
"""Of scenes that are not named as their change is."""

FILES = ("rename", "replace", "link", "chmod", "fsync", "unlink", "makedirs", "mkdir")
Begin = Callable[[Daemon], Coroutine[Any, Any, Operation]]


class Boundaries:
    """Hears of every boundary of a change that this process passes; ``hear`` is told in whatever thread it is."""

    def __init__(self, root: str, hear: Callable[[str], None]) -> None:
        self._root = root
        self._hear = hear
        self._turn = threading.Lock()

    def __call__(self, boundary: str) -> None:
        with self._turn:
            self._hear(boundary)

    def around(self, owner: Any, name: str, concerns: Callable[..., str | None], *, after: bool = False) -> None:
        """Count before each call of ``owner.name`` that ``concerns`` has a word for; the next boundary is after it."""
        whole = getattr(owner, name)

        @functools.wraps(whole)
        def counted(*arguments: Any, **named: Any) -> Any:
            word = concerns(*arguments, **named)
            if word is not None:
                self(f"before {word}")
            result = whole(*arguments, **named)
            if word is not None and after:
                self(f"after {word}")
            return result

        setattr(owner, name, counted)

    def install(self) -> None:
        for name in ("add", "save"):
            self.around(
                Operations, name, lambda _, operation, *rest: f"commit {operation.state} {operation.step}", after=True
            )
        self.around(Operations, "record", lambda *rest: "commit facts")
        for name in ("insert", "replace", "delete"):
            self.around(Records, name, functools.partial(lambda word, *rest: f"record {word}", name))
        for name in FILES:
            self.around(os, name, functools.partial(self._file, name))
        self.around(shutil, "rmtree", functools.partial(self._file, "rmtree"))
        self.around(engine_run._StepReport, "_publish", self._told)
        begin = asyncio.create_subprocess_exec

        async def started(program: str, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
            guarded = os.path.basename(program) == "setpriv"
            name = os.path.basename(arguments[arguments.index("--") + 1] if guarded else program)
            self(f"before {name}")
            child = await begin(program, *arguments, **options)
            self(f"after the start of {name}")
            return child

        asyncio.create_subprocess_exec = started  # type: ignore[assignment]

    def _file(self, name: str, path: object, *rest: object, **named: object) -> str | None:
        if isinstance(path, int):
            return name
        return name if str(path).startswith(self._root) else None

    def _told(self, report: object, field: str, value: object) -> str:
        return f"{field} {value}"[:60]


class Scene:
    """An installation, the change that is made in it, and what it looked like before."""

    def __init__(self, directory: Path, kind: str) -> None:
        self.kind = kind
        self.directory = directory
        self.installation = Installation(directory)
        self.installation.stock()
        self.temporary = directory / "temporary"
        self.temporary.mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.temporary)  # nothing of a change belongs there
        if kind == "bundle":
            self.publish()
        self.archive = debian_archive.Archive("", "")
        if kind == "suite":
            self.archive = debian_archive.make(directory / "archive")
            debian.KEYRING = self.archive.keyring
        self.log = directory / "boundaries"
        self.settled = asyncio.run(self._prepare())

    def publish(self) -> None:
        """A catalog that has the archive as a bundle, which the product's own program makes of it."""
        out = self.directory / "victim.tar.zst"
        argv = ["--rootfs-tar", str(self.directory / "archive.tar"), "--name", NAME, "--size", "64M", "--out", str(out)]
        made = subprocess.run([*BANGER, "internal", "make-bundle", *argv, "--json"], check=True, capture_output=True)
        catalogs = Path(self.installation.paths.catalogs)
        catalogs.mkdir(parents=True)
        entry = web.Bundle(b"", Packed(**json.loads(made.stdout))).entry(NAME, str(out))
        (catalogs / "own.toml").write_text(entry)

    async def _prepare(self) -> dict[str, str]:
        async with self.installation.daemon() as daemon:
            if self.kind in ("replace", "delete"):
                await daemon.done(await self.pull(daemon))
            if self.kind == "promote":
                await daemon.done(await self.register(daemon))
            return self.images(daemon)

    async def pull(self, daemon: Daemon) -> Operation:
        force = self.kind == "replace"
        reference = (self.directory / "reference").read_text()
        return await daemon.images.pull(PullImage(reference=reference, name=NAME, size=SIZE, force=force))

    async def register(self, daemon: Daemon, *, changed: bool = False) -> Operation:
        """The owner's file, as its owner made it; ``changed`` by the change itself."""
        path = self.directory / "own.ext4"
        with (self.directory / "rootfs.ext4").open("rb") as source, path.open("wb") as target:
            while block := source.read(4096):  # holes stay holes
                target.seek(4096, os.SEEK_CUR) if block.count(0) == 4096 else target.write(block)
            target.truncate()
        return await daemon.images.register(
            RegisterImage(name=NAME, path=str(path), root_owned=changed, assets=changed)
        )

    async def build(self, daemon: Daemon) -> Operation:
        """Of a suite, with a file and a command, so that mmdebstrap has all of its hooks."""
        files = [RecipeFile(path="/srv/file", content=b"content")]
        recipe = BuildImage(
            name=NAME, suite=debian_archive.SUITE, mirror=self.archive.mirror, size=SIZE, files=files,
            commands=["test -e /tool"], force=True,
        )  # fmt: skip
        return await daemon.builds.build(recipe)

    async def begin(self, daemon: Daemon) -> Operation:
        if self.kind == "import":
            request = ImportImage(path=f"{self.directory}/archive.tar", name=NAME, size=SIZE)
            return await daemon.images.import_archive(request)
        if self.kind == "directory":
            request = ImportImage(path=f"{self.directory}/tree", name=NAME, size=SIZE, directory=True)
            return await daemon.images.import_archive(request)
        if self.kind == "suite":
            return await self.build(daemon)
        if self.kind == "bundle":
            return await daemon.images.pull(PullImage(reference=NAME))
        if self.kind == "register":
            return await self.register(daemon, changed=True)
        if self.kind == "promote":
            return await daemon.images.promote(NAME)
        if self.kind == "delete":
            return await daemon.images.delete(NAME)
        return await self.pull(daemon)

    @staticmethod
    def images(daemon: Daemon) -> dict[str, str]:
        return {each.name: each.id for each in daemon.images.list()}

    # -- a death ------------------------------------------------------------------------------------------------------

    def attempt(self, at: int, delay: float | None = None) -> bool:
        """Make the change in a process that dies at a boundary, or after a time; whether it came to its end."""
        if self.kind == "pull":
            shutil.rmtree(self.installation.paths.oci_cache, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            try:
                if delay is not None:
                    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL))
                    timer.daemon = True
                    timer.start()
                asyncio.run(self._life(at))
                os._exit(0)
            finally:
                os._exit(3)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status in (0, -signal.SIGKILL), f"{self.passed()[-3:]} ended with {status}"
        return status == 0

    async def _life(self, at: int) -> None:
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        left = at

        def hear(boundary: str) -> None:
            nonlocal left
            os.write(log, boundary.encode() + b"\n")
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()
            left -= 1

        async with self.installation.daemon() as daemon:
            Boundaries(str(self.directory), hear).install()
            await daemon.done(await self.begin(daemon))

    def passed(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    # -- the next daemon ----------------------------------------------------------------------------------------------

    async def check(self, where: str) -> None:
        """A new daemon starts: all is as it was, or, after the last commit, as it should be; that is undone."""
        async with self.installation.daemon() as daemon:
            for each in daemon.engine.operations():
                if not each.ended:
                    await daemon.done(each)
            await daemon.until(lambda: all(each.ended for each in daemon.engine.operations()))
            kind = KINDS.get(self.kind, f"image.{self.kind}")
            last = next((each.state for each in daemon.engine.operations() if each.kind == kind), "failed")
            assert last in ("done", "failed"), (where, last)
            now = self.images(daemon)
            self.files(now, where)
            if last == "failed":
                assert now == self.settled, (where, now, self.settled)
                return
            await self._restore(daemon, now, where)

    async def _restore(self, daemon: Daemon, now: dict[str, str], where: str) -> None:
        """The change came to its end after all, or had ended before this death began one."""
        if now == self.settled:
            return
        if self.kind == "delete":
            assert NAME not in now, where
            await daemon.done(await self.pull(daemon))
        else:
            sound(daemon.images.show(NAME).rootfs)
            assert set(now) == {*self.settled, NAME}, (where, now)
            await self.back(daemon)
        self.settled = self.images(daemon)

    async def back(self, daemon: Daemon) -> None:
        """From what the change has made to where it can be made again."""
        if self.kind == "replace":
            return
        await daemon.done(await daemon.images.delete(NAME))
        if self.kind == "promote":
            await daemon.done(await self.register(daemon))

    def files(self, images: dict[str, str], where: str) -> None:
        paths = self.installation.paths
        assert sorted(os.listdir(paths.images)) == sorted(images.values()), where
        for identity in images.values():
            found = set(os.listdir(paths.image(identity)))
            own = not json.loads(Path(paths.image(identity), RECORD).read_text()).get("path")
            assert ({ROOTFS, RECORD} if own else {RECORD}) <= found, where
        assert os.listdir(paths.staging) == [], where
        assert os.listdir(self.temporary) == [], where
        if self.kind == "suite":
            with contextlib.closing(Database(paths.database, read_only=True)) as database:
                assert debian_archive.left(Operations(database)) == [], where
        cache = Path(paths.oci_cache)
        if cache.exists():
            assert {each.name for each in cache.iterdir()} <= {"oci-layout", "index.json", "blobs", "lock"}, where
            for blob in (cache / "blobs").rglob("*"):
                assert blob.is_dir() or hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name, (where, blob)


def sound(rootfs: str) -> None:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    subprocess.run(["e2fsck", "-fn", rootfs], check=True, capture_output=True, env={"PATH": path})


def main() -> None:
    """argv: directory (as `test_image_deaths` makes it), kind of change. Says what it met, as JSON."""
    directory, kind = Path(sys.argv[1]), sys.argv[2]
    scene = Scene(directory, kind)
    boundaries: list[str] = []
    try:
        started = time.monotonic()
        while not scene.attempt(len(boundaries)):
            boundaries.append(scene.passed()[-1])
            asyncio.run(scene.check(f"{len(boundaries)}: {boundaries[-1]}"))
        # A pull does two things at once: its boundaries come in an order that differs a little from run to run.
        survived = [each for each in scene.passed() if each not in boundaries]
        asyncio.run(scene.check("the end"))
        whole = (time.monotonic() - started) / (len(boundaries) + 1)
        for moment in range(6 if kind == "pull" else 0):
            scene.attempt(1 << 30, delay=whole * moment / 6)
            asyncio.run(scene.check(f"moment {moment}"))
    finally:
        scene.installation.close()
    print(json.dumps(boundaries + survived))


if __name__ == "__main__":
    main()
