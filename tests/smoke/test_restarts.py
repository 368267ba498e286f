"""Machines outlive the daemon and the helper, however these end."""

import pytest

from tests.smoke.host.box import Host
from tests.smoke.machines import boot_id, main_pid, show

DAEMON, HELPER = "bangerd.service", "bangerd-root.service"


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
