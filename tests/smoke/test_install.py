"""The installation as a service: what it leaves on a host, and what is left when it has been taken away."""

import json

from tests.smoke.host.box import Host
from tests.smoke.host.image import OTHER, OWNER
from tests.smoke.host.stages import INSTALL

OWNED = {
    "/var/lib/banger": f"{OWNER} 700",
    "/var/cache/banger": f"{OWNER} 700",
    "/var/lib/banger-root": "root 711",
    "/etc/banger/install.json": "root 644",
    "/usr/local/lib/banger": "root 755",
    "/usr/local/lib/banger/bangerd-root.pyz": "root 644",
    "/run/banger": f"{OWNER} 700",
}
"""Path -> whose it is, and its mode."""


def test_it_serves_its_owner_and_nobody_else(installed: Host) -> None:
    found = installed.run(["stat", "-c", "%n %U %a", *OWNED]).stdout.splitlines()
    assert dict(line.split(" ", 1) for line in found) == OWNED
    for unit in ("bangerd.service", "bangerd-root.service", "banger-machines.service"):
        assert installed.run(["systemctl", "is-active", unit]).stdout == "active\n"
    assert installed.run("command -v banger").stdout == "/usr/local/bin/banger\n"
    assert installed.banger("system", "status").status == 0
    assert installed.banger("vm", "list", "--quiet").stdout == ""
    daemon = installed.run("systemctl show --property=User --value bangerd.service").stdout
    assert daemon == f"{OWNER}\n"
    assert installed.run(["systemctl", "is-system-running"]).stdout == "running\n"
    for path in ("/run/banger/bangerd.sock", "/var/lib/banger/banger.db"):
        assert installed.run(["test", "-e", path], user=OTHER, check=False).status != 0


def test_installing_again_changes_nothing(installed: Host) -> None:
    done = json.loads(installed.run([*INSTALL, "--json"], timeout=300).stdout)
    assert done["owner"] == OWNER
    assert done["upgraded"]
    assert installed.banger("system", "status").status == 0


def test_uninstalling_leaves_the_host_as_it_was(host: Host) -> None:
    before = host.inventory()
    host.run(INSTALL, timeout=300)
    assert host.inventory().new_since(before)
    host.run(["banger", "system", "uninstall", "--purge"], timeout=300)
    assert host.left_since(before) == []
    assert host.inventory().gone_since(before) == []
    assert host.run("/opt/banger/bin/banger system status", check=False).status == 3
    assert host.run(["systemctl", "is-system-running"]).stdout == "running\n"


def test_a_plain_user_cannot_install(host: Host) -> None:
    done = host.run(INSTALL, user=OWNER, check=False)
    assert done.status != 0
    assert "only root" in done.stderr
