"""An installation whose machines are the fake driver's: processes that stand in a guest's place, with the real agent.

What is measured with it is the daemon's own work, and that of the programs that every machine needs.
"""

import shlex
from pathlib import Path

from tests.home import Home
from tests.installation import agent, fake_kernel, tiny_root

IMAGE = "tiny"


def prepare(home: Home, delay: float) -> None:
    """Give ``home``, whose daemon has not been started, a kernel, an image and a driver whose launches take longer."""
    home.env |= {
        "BANGER_DRIVER": "fake",
        "BANGER_FAKE_AGENT": f"{shlex.quote(agent())} serve-fd 0",
        "BANGER_FAKE_DELAY": f"{delay:g}",
    }
    archive = home.directory / "tiny.tar"
    archive.write_bytes(tiny_root())
    fake_kernel(Path(home.paths.kernel("debian-cloud")), agent())
    home.banger("image", "import", str(archive), "--name", IMAGE, "--size", "64M", check=True)
