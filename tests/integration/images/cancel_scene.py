"""Run by test_image_deaths: a change is cancelled at every second boundary, one after another, by one daemon.

The boundaries are those of `death_scene`. Where a cancellation comes too late the change ends as it should; everywhere
else all is as it was, at once and without a new daemon.
"""

import asyncio
import json
import shutil
import sys
from pathlib import Path

from banger import errors
from tests.installation import Daemon
from tests.integration.images.death_scene import NAME, Boundaries, Scene, sound

STRIDE = 2
"""A cancellation takes effect where the change next waits, so neighbours among the boundaries are alike."""


class Cancelling:
    """One attempt after another, each cancelled one boundary later."""

    def __init__(self, scene: Scene, daemon: Daemon) -> None:
        self.scene = scene
        self.daemon = daemon
        self.passed: list[str] = []
        self.at = 0
        self.operation = ""
        self.loop = asyncio.get_running_loop()
        Boundaries(str(scene.directory), self.hear).install()

    def hear(self, boundary: str) -> None:
        self.passed.append(boundary)
        if len(self.passed) == self.at + 1:
            self.loop.call_soon_threadsafe(self.cancel)

    def cancel(self) -> None:
        if self.operation:
            self.daemon.engine.cancel(self.operation)

    async def attempt(self, at: int) -> bool:
        """Whether the change was over before its boundary came."""
        if self.scene.kind == "pull":
            shutil.rmtree(self.scene.installation.paths.oci_cache, ignore_errors=True)
        self.passed, self.at, self.operation = [], at, ""
        begun = await self.scene.begin(self.daemon)
        self.operation = begun.id
        if len(self.passed) > at:  # it came before there was anything to cancel
            self.daemon.engine.cancel(begun.id)
        try:
            await self.daemon.done(begun)
        except errors.Cancelled:
            assert self.images() == self.scene.settled, (at, self.passed[at:])
        over = len(self.passed) <= at
        await self.daemon.until(lambda: all(each.ended for each in self.daemon.engine.operations()))
        self.scene.files(self.images(), f"{at}: {self.passed[at:][:1]}")
        if self.images() != self.scene.settled:
            sound(self.daemon.images.show(NAME).rootfs)
            self.at = 1 << 30
            await self.scene.back(self.daemon)
            self.scene.settled = self.images()
        return over

    def images(self) -> dict[str, str]:
        return self.scene.images(self.daemon)


async def run(scene: Scene) -> list[str]:
    async with scene.installation.daemon() as daemon:
        cancelling = Cancelling(scene, daemon)
        boundaries: list[str] = []
        while not await cancelling.attempt(len(boundaries) * STRIDE):
            boundaries.append(cancelling.passed[len(boundaries) * STRIDE])
        return boundaries


def main() -> None:
    scene = Scene(Path(sys.argv[1]), sys.argv[2])
    try:
        print(json.dumps(asyncio.run(run(scene))))
    finally:
        scene.installation.close()


if __name__ == "__main__":
    main()
