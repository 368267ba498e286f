"""The stages that scenarios begin from, each made out of the one before it."""

from tests.smoke.host.box import Host, Stage
from tests.smoke.host.image import OWNER

INSTALL = ("/opt/banger/bin/banger", "system", "install", "--owner", OWNER)


def _install(host: Host) -> None:
    host.run(INSTALL, timeout=300)


def _stock(host: Host) -> None:
    """The kernel as a pull would have left it, and an image by a pull."""
    release = host.run("jq -r .name /kit/kernel/kernel.json").stdout.strip()
    target = f"/var/lib/banger/kernels/{release}"
    host.run(
        f"mkdir -p {target} && cp --sparse=always /kit/kernel/* {target}/ && chown -R {OWNER}: /var/lib/banger/kernels",
        timeout=120,
    )
    host.banger("image", "pull", "oci:/kit/images/busybox:latest", "--name", "busybox", timeout=300)


def _serve(host: Host) -> None:
    host.banger("run", "--detach", "--name", "one", "--image", "busybox", timeout=180)


INSTALLED = Stage("installed", _install)
STOCKED = Stage("stocked", _stock, INSTALLED)
SERVING = Stage("serving", _serve, STOCKED)
