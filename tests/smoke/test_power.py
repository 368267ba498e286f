"""The power of a whole host is cut at a boundary of a change, and comes back: what its disk had is all that is left."""

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.matrix.slices import SEED, WHOLE
from tests.smoke import moments
from tests.smoke.host import inventory, stages
from tests.smoke.host.box import Host
from tests.smoke.host.image import OWNER
from tests.smoke.host.inventory import Inventory
from tests.smoke.host.power import Powered
from tests.smoke.host.stages import MATRIX_ENV, PYTHON
from tests.smoke.moments import Moment

pytestmark = pytest.mark.matrix

CUTS = int(os.environ.get("BANGER_MATRIX_CUTS") or (30 if WHOLE else 1))
CUT_SECONDS = 600
"""Most for one: to reach it, to boot, to judge; a quiet machine needs a sixth."""
EARLY = ("banger", "vm", "list")
"""What the owner asks while the host comes up: it waits for the service, and is answered."""
PATIENCE = 15.0
"""How long what is on its way out may take to be gone."""


class Site:
    """A host whose disk can be made as it was at first."""

    def __init__(self, host: Host, directory: Path) -> None:
        self._disk = directory / "disk"
        self._first = directory / "first"
        host.copy_disk(self._first)
        self.box = Powered(host.ready, self._disk, random.Random(SEED))

    def anew(self) -> None:
        """A host on which nothing has happened; booted, and what it holds then."""
        self.box.end()
        subprocess.run(["cp", "--sparse=always", str(self._first), str(self._disk)], timeout=120, check=True)
        self.box.boot()
        self.before = self.inventory()

    def inventory(self) -> Inventory:
        return Inventory(self.box.run("python3 -IS -", stdin=inventory.SCRIPT.encode()).stdout)

    def program(self, step: str, document: dict[str, object]) -> str:
        """A step of `tests.matrix.cut` there; what it says."""
        words = " ".join(f"{name}={value}" for name, value in MATRIX_ENV.items())
        argv = f"env {words} {PYTHON} -m tests.matrix.cut {step}"
        return self.box.run(argv, stdin=json.dumps(document).encode(), timeout=CUT_SECONDS).stdout

    def play(self, moment: Moment) -> list[str]:
        """Cut the power there; what is wrong after the next boot."""
        reached = json.loads(self.program("begin", moment.document()))
        self.box.cut()
        self.box.boot(EARLY, user=OWNER)
        faults: list[str] = json.loads(self.program("judge", {**moment.document(), "reached": reached}))
        return faults or self._left()

    def _left(self) -> list[str]:
        deadline = time.monotonic() + PATIENCE
        while left := self.inventory().new_since(self.before, standing=False):
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        return [f"left: {each}" for each in left if not each.startswith(moments.KEPT)]


@pytest.fixture
def site(session_host: Host, tmp_path: Path) -> Iterator[Site]:
    session_host.enter(stages.MORTAL)
    made = Site(session_host, tmp_path)
    try:
        made.anew()
        yield made
    finally:
        made.box.end()
        shutil.rmtree(tmp_path)


@pytest.mark.timeout(CUT_SECONDS * (CUTS + 1), func_only=True)
def test_power_comes_back(site: Site, record_property: Callable[[str, object], None]) -> None:
    wrong = []
    chosen = moments.of_cuts(CUTS)
    for moment in chosen:
        faults = site.play(moment)
        if faults:
            wrong.append("\n    ".join([str(moment), *faults, site.box.console()[-500:]]))
            site.anew()
    record_property("matrix power cuts", len(chosen))
    record_property("matrix power cuts with faults", len(wrong))
    record_property("matrix as the seed", SEED)
    assert not wrong, "\n".join(wrong)
