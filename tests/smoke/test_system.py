"""banger as a service of a whole host: installed, examined, restarted, killed, installed again, and taken away."""

import json
import re
from collections.abc import Iterator

import pytest

from banger.system import units
from tests.smoke.host.box import Host
from tests.smoke.host.image import OTHER, OWNER

SLOW = 280
LEAF = "/sys/fs/cgroup/banger.slice/banger-machines.service/vm-0123456789abcdef"
POSTURE = ("services", "helper", "sockets", "restrictions", "root's", "firecracker", "jails", "kvm", "control")
EXPOSURE = {units.DAEMON_SERVICE: 2.6, units.HELPER_SERVICE: 4.3, units.MACHINES: 1.3}


def system(host: Host, *arguments: str, check: bool = True) -> str:
    """``banger system ...`` as root: what it said on both streams."""
    done = host.banger("system", *arguments, user=None, timeout=SLOW, check=check)
    return done.stdout + done.stderr


@pytest.fixture
def clean(host: Host) -> Iterator[Host]:
    """The box, from which an installation is removed whatever became of the scenario."""
    yield host
    system(host, "uninstall", "--purge", "--force", check=False)
    host.run(f"rm -rf /tmp/banger-runtime-* /home/{OWNER}/.local /home/{OTHER}/.local /home/*/.cache")


def pid(host: Host, unit: str) -> int:
    return int(host.run(["systemctl", "show", "--property=MainPID", "--value", unit]).stdout)


@pytest.mark.timeout(1500, func_only=True)
def test_life_of_an_installation(clean: Host) -> None:
    host = clean
    before = host.inventory()
    assert host.banger("system", "status", check=False).status == 3
    refused = host.banger("system", "install", "--owner", OWNER, check=False)
    assert (refused.status, "run it with sudo" in refused.stderr) == (4, True)

    assert "is installed" in system(host, "install", "--owner", OWNER)
    _belongs_to_the_owner(host)
    _is_restricted(host)
    _is_sound(host)
    _outlives_restarts_and_kills(host)

    assert "is upgraded" in system(host, "install", "--owner", OWNER)
    assert f"installed here for {OWNER}" in system(host, "install", "--owner", OTHER, check=False)
    _is_sound(host)

    _is_not_removed_from_under_a_machine(host)
    said = system(host, "uninstall", "--force")
    assert "kept: /var/lib/banger" in said
    assert host.run(["test", "-f", "/var/lib/banger/banger.db"], check=False).status == 0
    system(host, "uninstall", "--purge")
    assert host.left_since(before) == []
    assert host.inventory().gone_since(before) == []


def _belongs_to_the_owner(host: Host) -> None:
    """The owner and root use one daemon; another user's banger knows nothing of it."""
    seen = [json.loads(host.banger("daemon", "status", "--json", user=user).stdout) for user in (OWNER, None)]
    assert seen[0]["pid"] == seen[1]["pid"] == pid(host, units.DAEMON_SERVICE)
    assert (seen[0]["uid"], seen[0]["socket"]) == (1000, "/run/banger/bangerd.sock")
    other = host.banger("daemon", "status", user=OTHER, check=False)
    assert (other.status, "/run/banger/" in other.stdout) == (3, False)
    modes = host.run("stat -c '%a %U %n' /var/lib/banger /var/lib/banger-root /run/banger /run/banger-root"
                     " /run/banger-root/bangerd-root.sock").stdout.split("\n")  # fmt: skip
    assert modes[:5] == [
        f"700 {OWNER} /var/lib/banger",
        "711 root /var/lib/banger-root",
        f"700 {OWNER} /run/banger",
        "711 root /run/banger-root",
        f"600 {OWNER} /run/banger-root/bangerd-root.sock",
    ]


def _is_restricted(host: Host) -> None:
    """The kernel has what the units say, and systemd's judgement is the stated one."""
    for unit, most in EXPOSURE.items():
        said = host.run(["systemd-analyze", "security", "--no-pager", unit]).stdout
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
        assert found and float(found[1]) <= most, unit
        status = host.read(f"/proc/{pid(host, unit)}/status")
        assert "NoNewPrivs:\t1\n" in status and "Seccomp:\t2\n" in status, unit
    status = host.read(f"/proc/{pid(host, units.DAEMON_SERVICE)}/status")
    assert re.search(r"^Uid:\t1000\t1000\t1000\t1000$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    assert host.read(f"/proc/{pid(host, units.MACHINES)}/cgroup").endswith(f"/{units.MACHINES}/holder\n")


def _is_sound(host: Host) -> None:
    """Every row about the installation passes."""
    report = json.loads(host.banger("doctor", "--json", check=False).stdout)
    rows = {each["name"]: each for each in report["checks"]}
    found = {name: row for name, row in rows.items() if name.split()[0] in POSTURE}
    assert len(found) == len(POSTURE)
    assert {name: row["detail"] for name, row in found.items() if row["status"] != "pass"} == {}
    assert host.banger("system", "status").status == 0


def _outlives_restarts_and_kills(host: Host) -> None:
    """Both services come back, and the machines' cgroup is not touched."""
    holder, daemon, helper = (pid(host, unit) for unit in (units.MACHINES, units.DAEMON_SERVICE, units.HELPER_SERVICE))
    system(host, "restart")
    assert pid(host, units.DAEMON_SERVICE) != daemon
    assert pid(host, units.HELPER_SERVICE) != helper
    host.run(f"kill -9 {pid(host, units.DAEMON_SERVICE)} {pid(host, units.HELPER_SERVICE)}")
    host.until(["banger", "system", "status"], timeout=120)
    assert pid(host, units.MACHINES) == holder
    host.run(["systemctl", "stop", units.DAEMON_SERVICE])
    missed = host.banger("vm", "list", check=False)
    assert (missed.status, "sudo banger system restart" in missed.stderr) == (1, True)
    assert host.run(["pgrep", "-f", "banger.daemon.main"], check=False).status == 1
    system(host, "restart")


def _is_not_removed_from_under_a_machine(host: Host) -> None:
    """What is in a machine's leaf is a machine; with --force it is ended."""
    host.run(f"mkdir {LEAF}; setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >{LEAF}/cgroup.procs")
    refused = host.banger("system", "uninstall", user=None, check=False, timeout=SLOW)
    assert (refused.status, "machines are running: vm-0123456789abcdef" in refused.stderr) == (4, True)
    assert host.banger("system", "status").status == 0


@pytest.mark.timeout(900, func_only=True)
def test_an_installation_that_fails_leaves_the_host_as_it_was(clean: Host) -> None:
    """The daemon cannot start, because its configuration makes no sense; all that was done is taken back."""
    before = clean.inventory()
    clean.run(f"mkdir -p /home/{OWNER}/.config/banger; echo 'nonsense = 1' >/home/{OWNER}/.config/banger/config.toml")
    said = system(clean, "install", "--owner", OWNER, check=False)
    assert "bangerd.service does not answer" in said
    assert "there is no such setting" in said
    assert clean.left_since(before) == []
    assert clean.inventory().gone_since(before) == []
    clean.run(f"rm -r /home/{OWNER}/.config")
