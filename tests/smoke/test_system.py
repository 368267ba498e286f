"""banger as a service of a whole host: installed, installed again, killed, used, and taken away without a trace."""

import pytest

from tests.smoke.host import stages
from tests.smoke.host.box import Host
from tests.smoke.host.image import OTHER, OWNER
from tests.smoke.machines import main_pid

SLOW = 280
INSTALL = ("/opt/banger/bin/banger", "system", "install", "--owner")
UNINSTALL = ("banger", "system", "uninstall")
KEPT = ("file /var/lib/banger", "file /var/cache/banger")
"""What an uninstallation leaves to its owner, and says."""


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


def names_of(host: Host) -> str:
    """Which servers and domains the host's resolver knows."""
    return host.run("resolvectl dns; resolvectl domain").stdout


@pytest.mark.timeout(3 * SLOW, func_only=True)
def test_an_installation_with_a_running_machine_goes_without_a_trace(host: Host) -> None:
    before, names = host.inventory(), names_of(host)
    host.run([*INSTALL, OWNER], timeout=SLOW)
    stages.stock(host)
    host.banger("run", "--detach", "--name", "one", "--image", "busybox", "--nat", timeout=180)
    host.banger("exec", "one", "--", "sh", "-c", "echo kept > /root/kept; sync")
    there = "\n".join(host.inventory().new_since(before))
    for each in ("network link br-fc", "network link tap-fc-0", "nft element inet banger nat", "loop device",
                 "mapper device fc-rootfs-", "cgroup /sys/fs/cgroup/banger.slice", "setting net.ipv4.ip_forward=1",
                 "file /var/lib/banger-root/jails/firecracker/", "process "):  # fmt: skip
        assert each in there, each
    assert "~vm" in names_of(host)

    refused = host.run(UNINSTALL, check=False)
    assert (refused.status, "machines are running: one" in refused.stderr) == (4, True), refused.stderr
    assert host.banger("exec", "one", "--", "cat", "/root/kept").stdout == "kept\n"

    done = host.run([*UNINSTALL, "--force"], timeout=SLOW)
    assert "stopped: one" in done.stderr and "kept: /var/lib/banger, /var/cache/banger;" in done.stderr, done.stderr
    assert [each for each in host.left_since(before, patience=0) if not each.startswith(KEPT)] == []
    assert host.inventory().gone_since(before) == []
    assert names_of(host) == names
    assert host.run(["systemctl", "list-units", "--all", "--no-legend", "banger*"]).stdout == ""

    host.run([*INSTALL, OWNER], timeout=SLOW)
    assert host.banger("vm", "list", "--quiet").stdout == "one\n"
    host.banger("vm", "start", "one", timeout=150)
    assert host.banger("exec", "one", "--", "cat", "/root/kept").stdout == "kept\n"
    assert host.banger("run", "--rm", "--image", "busybox", "--", "echo", "new", timeout=180).stdout == "new\n"
    host.banger("vm", "stop", "one", timeout=90)
    assert "no service of this host any more" in host.run([*UNINSTALL, "--purge"], timeout=SLOW).stdout
    assert "there is nothing to uninstall" in host.run(UNINSTALL).stdout
    assert host.left_since(before) == []
    assert host.inventory().gone_since(before) == []
    assert names_of(host) == names


def test_jails_are_not_made_where_there_are_no_devices(host: Host) -> None:
    place = "/var/lib/banger-root"
    host.run(f"mkdir {place} && mount -t tmpfs -o nodev none {place}")
    refused = host.run([*INSTALL, OWNER], timeout=SLOW, check=False)
    assert refused.status == 4, refused.stderr
    assert f"jails cannot be in {place}: its file system is mounted nodev" in refused.stderr
    assert f"mount another file system at {place}" in refused.stderr
    host.run(f"umount {place} && rmdir {place}")  # and nothing else has come


def test_a_command_waits_for_a_service_that_is_being_started(installed: Host) -> None:
    """As it is right after the host's boot, or while systemd starts one anew that has died."""
    assert installed.run("systemctl show --property=Type --value bangerd").stdout == "notify\n"
    installed.run("systemctl stop bangerd")
    refused = installed.banger("vm", "list", check=False)
    assert refused.status == 1 and "the service is not running" in refused.stderr, refused.stderr
    installed.run("systemctl start --no-block bangerd")
    assert installed.banger("vm", "list", "--quiet") == (0, "", "")
    installed.run(["kill", "-9", str(main_pid(installed, "bangerd.service"))])
    assert installed.banger("vm", "list", "--quiet") == (0, "", "")
    installed.run("systemctl restart bangerd")
    assert installed.run(["curl", "-sf", "--unix-socket", "/run/banger/bangerd.sock", "http://banger/v1/daemon"]).stdout
