"""Each name of the catalog that comes with banger becomes a machine: packages of the real mirror, and a real boot.

The default image is not pulled again: all tests of ready machines boot it (`tests.stock`).
"""

import pytest

from tests.home import Home
from tests.stock import IMAGE

STARTED = "until systemctl is-active -q multi-user.target 2>/dev/null; do sleep 0.5; done"
FAILED = "systemctl list-units --failed --quiet --plain --no-legend"

RUNS = {
    "debian-bookworm-minimal": ("cat /proc/1/comm; ip -brief link show lo >/dev/null", "systemd\n"),
    "debian-bookworm-docker": (
        "until docker info >/dev/null 2>&1; do sleep 0.5; done; mkdir /srv/c; cp --parents /bin/echo "
        "$(ldd /bin/echo | grep -o '/lib[^ ]*') /srv/c; tar -C /srv/c -c . | docker import - tiny >/dev/null; "
        "docker run --rm --network none tiny /bin/echo from a container",
        "from a container\n",
    ),
}
"""What a machine of it is asked to do, as root once it has started, and what it answers."""


def test_the_catalog_has_no_other(home: Home) -> None:
    listed = home.banger("image", "list", "--catalog", "--json", check=True).json()
    assert isinstance(listed, dict)
    assert {each["name"] for each in listed["entries"]} == {IMAGE, *RUNS}


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", RUNS)
def test_a_name_of_the_catalog_becomes_a_machine(stocked: Home, name: str) -> None:
    script, answer = RUNS[name]
    stocked.banger("image", "pull", name, timeout=900, check=True)
    machine = ("run", "--rm", "--image", name, "--memory", "1G", "--", "sh", "-c", f"{STARTED}; {script}; {FAILED}")
    assert stocked.banger(*machine, timeout=500, check=True).stdout == answer
