"""banger as a service of a whole host: installed, installed again, killed, and taken away without a trace."""

from tests.smoke.host.box import Host
from tests.smoke.host.image import OTHER, OWNER
from tests.smoke.machines import main_pid

SLOW = 280
INSTALL = ("/opt/banger/bin/banger", "system", "install", "--owner")


def test_life_of_an_installation(host: Host) -> None:
    before = host.inventory()
    refused = host.run([*INSTALL, OWNER], user=OWNER, check=False)
    assert refused.status != 0 and "sudo" in refused.stderr

    assert "is installed" in host.run([*INSTALL, OWNER], timeout=SLOW).stdout
    assert host.banger("system", "status").status == 0
    assert host.run("systemctl show --property=User --value bangerd.service").stdout == f"{OWNER}\n"
    assert host.run(["test", "-e", "/run/banger/bangerd.sock"], user=OTHER, check=False).status != 0

    assert "is upgraded" in host.run(["banger", "system", "install", "--owner", OWNER], user=None, timeout=SLOW).stdout
    again = host.run(["banger", "system", "install", "--owner", OTHER], timeout=SLOW, check=False)
    assert (again.status, f"installed here for {OWNER}" in again.stderr) == (4, True)

    holder = main_pid(host, "banger-machines.service")
    services = [main_pid(host, unit) for unit in ("bangerd.service", "bangerd-root.service")]
    host.run(["kill", "-9", *map(str, services)])
    host.until(["banger", "system", "status"], timeout=120)
    assert main_pid(host, "banger-machines.service") == holder

    host.run(["banger", "system", "uninstall", "--purge"], timeout=SLOW)
    assert host.left_since(before) == []
    assert host.inventory().gone_since(before) == []
    assert host.run(["systemctl", "is-system-running"]).stdout == "running\n"
