"""What a request becomes before anything exists."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.api.vm import CreateVm
from banger.config.settings import Config, build
from banger.store.database import Database
from banger.store.records import Records
from banger.vmm.driver import Features, UserNetwork
from banger.vms import wanted
from banger.vms.record import Machines, VmRecord


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    database = Database(str(tmp_path / "store.db"))
    yield Machines(Records(database, "vms", VmRecord))
    database.close()


def decided(
    machines: Machines,
    settings: Config,
    request: CreateVm = CreateVm(),  # noqa: B008 - a constant
    *,
    networked: bool = True,
) -> VmRecord:
    features = Features(accelerated=False, user_networking=networked, vsock=False, snapshot=False, jail=not networked)
    return wanted.decide(request, settings, machines, (), "qemu", features)


def test_a_guest_does_not_reach_the_hosts_loopback(machines: Machines) -> None:
    assert decided(machines, build({})).network == UserNetwork(host_loopback=False)


def test_the_hosts_loopback_is_opened_by_its_setting_alone(machines: Machines) -> None:
    settings = build({"vm_defaults.host_loopback": True})
    assert decided(machines, settings).network == UserNetwork(host_loopback=True)


def test_a_driver_without_user_networking_gives_none(machines: Machines) -> None:
    assert decided(machines, build({}), networked=False).network is None


def test_a_machine_that_must_reach_the_outside_is_refused_where_it_would_not(machines: Machines) -> None:
    with pytest.raises(errors.NoWayOut):
        decided(machines, build({}), CreateVm(outside=True), networked=False)
    for request, settings, networked in (
        (CreateVm(outside=True), {}, True),
        (CreateVm(outside=True, nat=True), {}, False),
        (CreateVm(outside=True), {"vm_defaults.nat": True}, False),
        (CreateVm(), {}, False),
    ):
        assert decided(machines, build(settings), request, networked=networked).name
    with pytest.raises(errors.NoWayOut):
        decided(machines, build({"vm_defaults.nat": True}), CreateVm(outside=True, nat=False), networked=False)
