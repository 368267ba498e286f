"""What a request becomes before anything exists."""

from collections.abc import Iterator
from pathlib import Path

import pytest

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


def decided(machines: Machines, settings: Config, *, networked: bool = True) -> VmRecord:
    features = Features(accelerated=False, user_networking=networked, vsock=False, snapshot=False, jail=not networked)
    return wanted.decide(CreateVm(), settings, machines, (), "qemu", features)


def test_a_guest_does_not_reach_the_hosts_loopback(machines: Machines) -> None:
    assert decided(machines, build({})).network == UserNetwork(host_loopback=False)


def test_the_hosts_loopback_is_opened_by_its_setting_alone(machines: Machines) -> None:
    settings = build({"vm_defaults.host_loopback": True})
    assert decided(machines, settings).network == UserNetwork(host_loopback=True)


def test_a_driver_without_user_networking_gives_none(machines: Machines) -> None:
    assert decided(machines, build({}), networked=False).network is None
