"""An image on its way from a registry to a machine: real docker-registry and skopeo, on the box's loopback."""

from collections.abc import Iterator

import pytest

from tests.registry import CONFIG
from tests.smoke.host.box import Host
from tests.smoke.host.image import OWNER

PORT = 5000
ADDRESS = f"127.0.0.1:{PORT}"
NAME = f"{ADDRESS}/guests/busybox"


@pytest.fixture
def registry(stocked: Host) -> Iterator[Host]:
    """The box with a registry that has one image."""
    stocked.run(
        "mkdir /srv/registry && cat > /srv/registry.yml", stdin=CONFIG.format(root="/srv/registry", port=PORT).encode()
    )
    stocked.run("systemd-run --quiet --collect --unit=registry docker-registry serve /srv/registry.yml")
    stocked.until(["curl", "-sf", f"http://{ADDRESS}/v2/"])
    pushed = ("oci:/kit/images/busybox:latest", f"docker://{NAME}:1")
    stocked.run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", *pushed], user=OWNER, timeout=180)
    yield stocked
    stocked.run("systemctl stop registry; rm -r /srv/registry /srv/registry.yml")


def test_a_machine_runs_what_a_registry_has(registry: Host) -> None:
    missing = registry.banger("image", "pull", f"{NAME}:2", check=False)
    assert missing.status == 1 and f"{NAME}:2" in missing.stderr
    registry.banger("image", "pull", f"{NAME}:1", "--name", "pulled", timeout=300)
    assert f"{NAME}:1" in registry.banger("image", "show", "pulled").stdout
    done = registry.banger("run", "--rm", "--image", "pulled", "--", "sh", "-c", "uname; exit 5", check=False)
    assert (done.status, done.stdout) == (5, "Linux\n"), done.stderr
    registry.banger("image", "delete", "pulled")
    registry.banger("image", "cache", "prune")
    registry.spend()
