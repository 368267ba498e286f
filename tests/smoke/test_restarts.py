"""Machines outlive the daemon and the helper, however these end, and others that take their place."""

import json

import pytest

from tests.smoke.host.box import Host
from tests.smoke.host.stages import INSTALL
from tests.smoke.machines import PAGE, boot_id, fetched, main_pid, show

DAEMON, HELPER = "bangerd.service", "bangerd-root.service"
NEWER = "sed -i 's/^Version: .*/Version: 99/' /opt/banger/lib/python3*/site-packages/banger-*.dist-info/METADATA"


@pytest.mark.parametrize("units", [(DAEMON,), (HELPER,), (DAEMON, HELPER)], ids=["daemon", "helper", "both"])
@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_a_machine_outlives_its_services(serving: Host, units: tuple[str, ...], how: str) -> None:
    pid, boot = show(serving, "one")["pid"], boot_id(serving, "one")
    before = {unit: main_pid(serving, unit) for unit in units}
    if how == "killed":
        serving.run(["kill", "-9", *map(str, before.values())])
    else:
        serving.run(["systemctl", "restart", *units])
    serving.until("banger system status", timeout=90)
    assert all(main_pid(serving, unit) not in (0, old) for unit, old in before.items())
    assert show(serving, "one")["pid"] == pid
    assert boot_id(serving, "one") == boot


@pytest.mark.timeout(900, func_only=True)
def test_a_machine_outlives_an_upgrade(serving: Host) -> None:
    """With a session at work in it and a port published; and the newer services stop it and start it."""
    serving.spend()
    serving.banger("exec", "one", "--", "sh", "-c", PAGE)
    serving.banger("vm", "set", "one", "--publish", "8080:80")
    serving.banger("vm", "session", "start", "one", "--name", "ticks", "--", "sh", "-c", "while sleep 1; do echo; done")
    pid, boot = show(serving, "one")["pid"], boot_id(serving, "one")
    holder = main_pid(serving, "banger-machines.service")
    before = {unit: main_pid(serving, unit) for unit in (DAEMON, HELPER)}

    serving.run(NEWER)
    assert serving.run(INSTALL, timeout=280).stdout.startswith("banger 99 is upgraded\n")
    assert json.loads(serving.banger("daemon", "status", "--json").stdout)["version"] == "99"
    assert all(main_pid(serving, unit) not in (0, old) for unit, old in before.items())
    assert main_pid(serving, "banger-machines.service") == holder
    assert (show(serving, "one")["pid"], boot_id(serving, "one")) == (pid, boot)
    assert fetched(serving, "127.0.0.1:8080") == "from-one\n"
    (session,) = json.loads(serving.banger("vm", "session", "list", "one", "--json").stdout)["sessions"]
    assert (session["name"], session["state"]) == ("ticks", "running")

    serving.banger("vm", "restart", "one", timeout=180)
    assert boot_id(serving, "one") != boot
