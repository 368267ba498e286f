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
    """One attempt after another by the same daemon, each cancelled at a boundary of its own."""

    def __init__(self, scene: Scene, daemon: Daemon) -> None:
        self.scene = scene
        self.daemon = daemon
        self.passed: list[str] = []
        self.aim: tuple[str, int] | None = None
        self.operation = ""
        self.loop = asyncio.get_running_loop()
        Boundaries(str(scene.directory), self.hear).install()

    def hear(self, boundary: str) -> None:
        self.passed.append(boundary)
        if self.aim == (boundary, self.passed.count(boundary)):
            self.loop.call_soon_threadsafe(self.cancel)

    def cancel(self) -> None:
        if self.operation:
            self.daemon.engine.cancel(self.operation)

    async def attempt(self, aim: tuple[str, int] | None) -> list[str]:
        """Make the change and cancel it when it passes this boundary for this time; the boundaries that it passed."""
        if self.scene.kind == "pull":
            shutil.rmtree(self.scene.installation.paths.oci_cache, ignore_errors=True)
        self.passed, self.aim, self.operation = [], aim, ""
        begun = await self.scene.begin(self.daemon)
        self.operation = begun.id
        if aim and self.passed.count(aim[0]) >= aim[1]:  # it came before there was anything to cancel
            self.cancel()
        try:
            await self.daemon.done(begun)
        except errors.Cancelled:
            assert self.images() == self.scene.settled, aim
        await self.daemon.until(lambda: all(each.ended for each in self.daemon.engine.operations()))
        passed, self.aim = self.passed.copy(), None
        self.scene.files(self.images(), str(aim))
        if self.images() != self.scene.settled:
            sound(self.daemon.images.show(NAME).rootfs)
            await self.scene.back(self.daemon)
            self.scene.settled = self.images()
        return passed

    def images(self) -> dict[str, str]:
        return self.scene.images(self.daemon)


async def run(scene: Scene) -> list[str]:
    """A pull does two things at once: a boundary is known by its words, its place differs a little between attempts."""
    async with scene.installation.daemon() as daemon:
        cancelling = Cancelling(scene, daemon)
        whole = await cancelling.attempt(None)
        aims = [(boundary, whole[: place + 1].count(boundary)) for place, boundary in enumerate(whole)]
        return [aim[0] for aim in aims[::STRIDE] if (await cancelling.attempt(aim)).count(aim[0]) >= aim[1]]


def main() -> None:
    scene = Scene(Path(sys.argv[1]), sys.argv[2])
    try:
        print(json.dumps(asyncio.run(run(scene))))
    finally:
        scene.installation.close()


if __name__ == "__main__":
    main()
