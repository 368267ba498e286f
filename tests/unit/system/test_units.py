"""The units as text: what was promised is in them, and what they name is what is installed."""

import re

import pytest

from banger.helper.host import Host
from banger.system import layout, units
from banger.system.record import Record

RECORD = Record(
    owner_uid=1000,
    owner_gid=1000,
    owner="alice",
    home="/home/alice",
    version="1.2.3",
    installed_at="today",
)


def settings(text: str) -> dict[str, list[str]]:
    """The unit's settings, each with its values in order."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


RENDERED = {name: settings(text) for name, text in units.render(RECORD, groups=("kvm",)).items()}


def test_every_unit_is_rendered_under_its_name() -> None:
    assert tuple(RENDERED) == units.NAMES
    assert set(units.ENABLED) < set(units.NAMES)
    for name in units.ENABLED:
        assert RENDERED[name]["WantedBy"], f"{name} is never started"


@pytest.mark.parametrize("name", units.PROMISED)
def test_what_is_promised_is_in_the_unit(name: str) -> None:
    for setting, value in units.PROMISED[name].items():
        written = RENDERED[name]["Delegate" if setting == "DelegateControllers" else setting]
        assert [each.lower() for each in written] == [value.lower()], setting


def test_stopping_or_restarting_ends_no_machine() -> None:
    for name in (units.DAEMON_SERVICE, units.HELPER_SERVICE, units.MACHINES):
        assert RENDERED[name]["KillMode"] == ["process"]
        assert RENDERED[name]["OOMPolicy"] == ["continue"]
    for name in (units.DAEMON_SERVICE, units.HELPER_SERVICE):
        assert RENDERED[name]["RuntimeDirectoryPreserve"] == ["yes"]


def test_machines_are_powered_off_while_the_services_are_there_to_do_it() -> None:
    unit = RENDERED[units.SHUTDOWN]
    assert set(unit["After"][0].split()) == {units.DAEMON_SERVICE, units.HELPER_SERVICE, units.MACHINES}
    assert (unit["User"], unit["RemainAfterExit"]) == (["alice"], ["yes"])
    found = re.search(r"--timeout (\d+)s", unit["ExecStop"][0])
    assert found and int(found[1]) < int(unit["TimeoutStopSec"][0])
    assert not {"Requires", "BindsTo", "PartOf"} & unit.keys(), "a restart of the services would end machines"


def test_machines_are_counted_outside_both_services_where_the_helper_looks() -> None:
    unit = RENDERED[units.MACHINES]
    assert (unit["Delegate"], unit["Slice"]) == (["cpu io memory pids"], [units.SLICE])
    assert RECORD.cgroup == f"/sys/fs/cgroup/{units.SLICE}/{units.MACHINES}" == Host(owner_uid=1, owner_gid=1).cgroup
    assert f"cd {RECORD.cgroup};" in unit["ExecStart"][0]
    assert unit["IPAddressDeny"] == ["any"]


def test_the_helper_can_do_what_it_is_for_and_is_reached_by_the_owner_alone() -> None:
    unit, socket = RENDERED[units.HELPER_SERVICE], RENDERED[units.HELPER_SOCKET]
    assert unit["ExecStart"] == [f"/usr/bin/python3 -IS {layout.HELPER}"]
    assert unit["CapabilityBoundingSet"] == [" ".join(units.CAPABILITIES)]
    assert unit["ReadWritePaths"][0].split() == [RECORD.private, RECORD.state]
    assert "User" not in unit
    assert (socket["SocketUser"], socket["SocketMode"]) == (["1000"], ["0600"])
    assert socket["ListenStream"] == [RECORD.socket]


def test_the_daemon_is_the_owner_without_any_privilege() -> None:
    unit = RENDERED[units.DAEMON_SERVICE]
    assert unit["User"] == ["alice"]
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == [""]
    assert unit["SupplementaryGroups"] == ["kvm"]
    assert unit["ExecStart"] == [layout.DAEMON]
    assert "SupplementaryGroups" not in settings(units.render(RECORD)[units.DAEMON_SERVICE])


def test_only_programs_of_roots_are_started() -> None:
    for name, unit in RENDERED.items():
        for command in unit.get("ExecStart", []):
            assert re.match(r"/(usr|bin)/", command), name
