"""Which addresses machines have under their names."""

import os
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from banger.api.vm import VmState
from banger.net import plan
from banger.net.zone import Verdict
from banger.store.database import Database
from banger.store.records import Records
from banger.vmm.driver import Network, TapNetwork, UserNetwork
from banger.vms import resolving
from banger.vms.record import Machines, VmRecord

TAP = TapNetwork(tap="tap-fc-1", address="172.16.0.3/24", gateway="172.16.0.1", dns="1.1.1.1", mac="02:fc:ac:10:00:03")
GUESTS = IPv4Network("172.16.0.0/24")
SERVER = IPv4Address("127.0.0.1")


def machine(name: str, slot: int, state: VmState, network: Network | None) -> VmRecord:
    return VmRecord(
        id=f"{slot:016x}", name=name, state=state, image="i", kernel="k", vcpu=1, memory=1, disk_size=1, driver="fake",
        network=network, slot=slot, created=slot,
    )  # fmt: skip


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    made = Machines(Records(Database(str(tmp_path / "store.db")), "vms", VmRecord))
    made.insert(machine("user", 0, "running", UserNetwork()))
    made.insert(machine("bridged", 1, "running", TAP))
    made.insert(machine("stopped", 2, "stopped", UserNetwork()))
    made.insert(machine("alone", 3, "running", None))
    return made


def test_running_machines_have_addresses(machines: Machines) -> None:
    zone = resolving.zone(machines, GUESTS)
    own = plan.loopback(0, os.geteuid())
    expected = {"user": [own], "bridged": [IPv4Address("172.16.0.3")], "stopped": [], "alone": [], "none": []}
    for name, addresses in expected.items():
        found = zone.find([name.encode(), b"vm"], SERVER)
        assert list(found.addresses) == addresses
        assert found.verdict is (Verdict.FOUND if addresses else Verdict.NOT_FOUND)


def test_addresses_lead_back_to_names(machines: Machines) -> None:
    zone = resolving.zone(machines, GUESTS)
    for address, name in ((plan.loopback(0, os.geteuid()), "user"), (IPv4Address("172.16.0.3"), "bridged")):
        labels = [*address.reverse_pointer.encode().split(b".")]
        assert zone.find(labels, SERVER).name == name
    assert zone.find([*plan.loopback(2, os.geteuid()).reverse_pointer.encode().split(b".")], SERVER).name == ""
    alone = resolving.zone(machines, None)
    assert alone.find([b"3", b"0", b"16", b"172", b"in-addr", b"arpa"], SERVER).verdict is Verdict.REFUSED


def test_names_follow_the_record(machines: Machines) -> None:
    zone = resolving.zone(machines, None)
    machines.change(f"{0:016x}", state="stopped")
    assert zone.find([b"user", b"vm"], SERVER).verdict is Verdict.NOT_FOUND
