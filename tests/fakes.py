"""A real daemon whose machines are the fake driver's: processes that stand in a guest's place, with the real agent.

What such a guest's commands do, they do on this host; under root its agent has no rights of any kind.
"""

import os
import shlex
from pathlib import Path

from banger.api.image import ImportImage
from banger.api.vm import CreateVm
from banger.sdk.client import Client
from tests.home import Home
from tests.installation import agent, fake_kernel, tiny_root

IMAGE, KERNEL = "tiny", "debian-cloud"


def prepare(home: Home, delay: float = 0) -> None:
    """Start a daemon with kernel and image; each launch of a machine takes ``delay`` seconds more than it does."""
    nobody = "/usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups " if os.geteuid() == 0 else ""
    home.env |= {
        "BANGER_DRIVER": "fake",
        "BANGER_FAKE_AGENT": f"{nobody}{shlex.quote(agent())} serve-fd 0",
        "BANGER_FAKE_DELAY": f"{delay:g}",
    }
    home.banger("daemon", "start", check=True)
    with Client(home.paths.socket) as client:
        stock(home, client)


def stock(home: Home, client: Client) -> None:
    """The kernel and the image, where they are missing."""
    if not os.path.exists(home.paths.kernel(KERNEL)):
        fake_kernel(Path(home.paths.kernel(KERNEL)), agent())
    if IMAGE not in [each.name for each in client.image_list().images]:
        path = home.directory / "tiny.tar"
        path.write_bytes(tiny_root())
        client.wait(client.image_import(ImportImage(path=str(path), name=IMAGE, size=64 << 20)))


def request(name: str) -> CreateVm:
    """A small machine of that image."""
    return CreateVm(name=name, image=IMAGE, memory=256 << 20)
