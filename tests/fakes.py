"""A real daemon whose machines are the fake driver's: processes that stand in a guest's place, with the real agent.

What such a guest's commands do, they do on this host; under root its agent has no rights of any kind.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from banger.api.image import ImportImage
from banger.api.vm import CreateVm
from banger.sdk.client import Client
from tests.home import Home
from tests.installation import agent, fake_kernel, tiny_root
from tests.kept import build_cache, keep, key

IMAGE, KERNEL = "tiny", "debian-cloud"


def prepare(home: Home, delay: float = 0, *, quick: bool = False) -> None:
    """Start a daemon with kernel and image; each launch of a machine takes ``delay`` seconds more than it does.

    ``quick`` machines have no interpreter to start.
    """
    nobody = "/usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups " if os.geteuid() == 0 else ""
    home.env |= {
        "BANGER_DRIVER": "fake",
        "BANGER_FAKE_AGENT": f"{nobody}{shlex.quote(agent())} serve-fd 0",
        "BANGER_FAKE_DELAY": f"{delay:g}",
    }
    if quick:
        home.env["BANGER_FAKE_MACHINE"] = _compiled()
    home.banger("daemon", "start", check=True)
    with Client(home.paths.socket) as client:
        stock(home, client)


def _compiled() -> str:
    """tests/fake_machine.c as a program, compiled once."""
    source = Path(__file__).with_name("fake_machine.c")
    zig = str(build_cache() / "zig")

    def make(directory: Path) -> None:
        subprocess.run(
            [
                *(sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl", "-O1", "-static", "-s"),
                *("-o", str(directory / "machine"), str(source)),
            ],
            env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": zig, "ZIG_LOCAL_CACHE_DIR": zig},
            check=True,
        )

    return str(keep("fake-machine", key(source), make) / "machine")


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
