"""An installation whose guests are real agents in a directory: commands run in it as root, and nothing is booted.

The directory holds Debian's static busybox. Under a plain user, root in it is root of a user namespace.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.api.recipe import BuildImage
from banger.images.record import ImageRecord
from tests import guest_images
from tests.installation import IMAGE, MIB, Daemon, Installation, agent

SIZE = 64 * MIB


class Rig(Installation):
    """``guest`` is the directory that every machine's commands run in."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._stock: set[str] = set()
        self.guest = root / "guest"
        self.guest.mkdir()
        subprocess.run(["tar", "-xC", self.guest], input=guest_images.busybox_tar(), check=True)
        shutil.copy(agent(), self.guest / "agent")
        inside = shlex.quote(
            f"mount --rbind /dev {self.guest}/dev && "
            f"exec setpriv --pdeathsig KILL /usr/sbin/chroot {self.guest} /agent serve-fd 0"
        )
        user = [] if os.geteuid() == 0 else ["--map-root-user", "--map-auto"]
        self.answer(" ".join(["/usr/bin/unshare", "--mount", *user, "/bin/sh", "-c", inside]))

    def close(self) -> None:
        """Commands of a machine that was killed run here, and wait for this file."""
        (self.guest / "tmp/go").touch()
        super().close()

    def left(self) -> list[str]:
        """What is there of machines, work in progress and images, but for the stock's."""
        return [*self.machine_files(), *sorted(set(os.listdir(self.paths.images)) - self._stock)]

    def stock(self) -> None:
        super().stock()
        self._stock = set(os.listdir(self.paths.images))

    async def build(self, daemon: Daemon, name: str = "built", **fields: object) -> ImageRecord:
        """An image on the tiny one."""
        fields = {"base": IMAGE, "size": SIZE, **fields}
        operation = await daemon.builds.build(BuildImage(name=name, **fields))  # type: ignore[arg-type]
        await daemon.done(operation)
        return daemon.images.find(name)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    try:
        made.stock()
        yield made
    finally:
        made.close()
