"""The command line as data."""

import json

import msgspec

from banger.vmm.driver import Drive, LaunchSpec, UserNetwork
from banger.vmm.qemu import command, guard
from banger.vmm.qemu.command import Descriptors
from banger.vmm.qemu.probe import Probe

HOST = Probe(key="", accelerator="tcg", machine="microvm", clock_khz=2_100_000, version="7.2", reason="")
SPEC = LaunchSpec(
    vm_id="one,two",
    directory="/d",
    runtime="/r",
    kernel="/k,1",
    initrd="/i,1",
    cmdline=("banger.root=root",),
    vcpus=2,
    memory=512 << 20,
    drives=(
        Drive(serial="root", path='/d/a,"b".qcow2', format="qcow2", backing="/b,file=/etc/shadow"),
        Drive(serial="modules", path="/m", format="raw", read_only=True),
    ),
    network=UserNetwork(),
)


def built(host: Probe = HOST, spec: LaunchSpec = SPEC) -> list[str]:
    return command.argv(spec, host, Descriptors(5, 6, 7))


def values(argv: list[str], option: str) -> list[str]:
    return [argv[at + 1] for at, word in enumerate(argv) if word == option]


def test_hostile_names_stay_one_value() -> None:
    argv = built()
    assert values(argv, "-name") == ["banger-one,,two"]
    assert values(argv, "-kernel") == ["/k,1"]
    nodes = {node["node-name"]: node for node in map(json.loads, values(argv, "-blockdev"))}
    assert nodes["drive0-base-file"]["filename"] == "/b,file=/etc/shadow"
    assert nodes["drive0-file"]["filename"] == '/d/a,"b".qcow2'


def test_formats_are_said_and_bases_are_read_only() -> None:
    nodes = {node["node-name"]: node for node in map(json.loads, values(built(), "-blockdev"))}
    assert nodes["drive0"]["driver"] == "qcow2"
    assert nodes["drive0"]["backing"] == "drive0-base"
    assert nodes["drive0-base"] == {
        "driver": "raw", "node-name": "drive0-base", "file": "drive0-base-file", "read-only": True,
    }  # fmt: skip
    assert nodes["drive0-base-file"]["read-only"] is True
    assert nodes["drive1"]["driver"] == "raw"
    assert nodes["drive1"]["read-only"] is True


def test_flushes_reach_the_hosts_disk_unless_the_drive_need_not_last() -> None:
    for durable in (True, False):
        drive = Drive(serial="root", path="/d", format="raw", durable=durable)
        (file, _) = map(json.loads, values(built(spec=msgspec.structs.replace(SPEC, drives=(drive,))), "-blockdev"))
        assert file["cache"] == {"no-flush": not durable}


def test_it_is_confined_whatever_the_machine() -> None:
    for machine in ("microvm", "q35"):
        for accelerator in ("kvm", "tcg"):
            argv = built(msgspec.structs.replace(HOST, machine=machine, accelerator=accelerator))
            assert values(argv, "-sandbox") == [
                "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
            ]
            for flag in ("-nodefaults", "-no-user-config", "-no-reboot", "-S"):
                assert flag in argv


def test_the_bus_follows_the_machine() -> None:
    for machine, bus in (("microvm", "device"), ("q35", "pci")):
        argv = built(msgspec.structs.replace(HOST, machine=machine))
        kinds = [json.loads(each)["driver"] for each in values(argv, "-device")]
        assert kinds == [
            f"virtio-serial-{bus}", "virtserialport", f"virtio-blk-{bus}", f"virtio-blk-{bus}", f"virtio-net-{bus}",
            f"virtio-rng-{bus}",
        ]  # fmt: skip


def test_the_clock_is_told_to_emulated_guests_only() -> None:
    assert "tsc_early_khz=2100000" in command.cmdline(SPEC, HOST)
    accelerated = command.cmdline(SPEC, msgspec.structs.replace(HOST, accelerator="kvm"))
    assert not [word for word in accelerated if word.startswith(("tsc", "mitigations"))]
    assert accelerated[-1] == "banger.root=root"


def test_without_a_network_there_is_no_device_for_it() -> None:
    argv = built(spec=msgspec.structs.replace(SPEC, network=None))
    assert "-netdev" not in argv
    assert values(built(), "-netdev") == [
        "user,id=net,ipv6=off,net=10.0.2.0/24,host=10.0.2.2,dns=10.0.2.3,dhcpstart=10.0.2.15"
    ]


def test_the_guard_leaves_a_local_resolver_reachable(tmp_path: object) -> None:
    path = f"{tmp_path}/resolv.conf"
    for text, resolver in (
        ("nameserver 127.0.0.53\nnameserver 1.1.1.1\n", "127.0.0.53"),
        ("# x\nnameserver 169.254.169.254\n", "169.254.169.254"),
        ("nameserver 192.0.2.1\nnameserver 127.0.0.1\n", None),
        ("nameserver ::1\nnameserver 127.0.0.1\n", "127.0.0.1"),
        ("", None),
    ):
        with open(path, "w") as file:
            file.write(text)
        assert guard.environment(9, path).get("BANGER_NETGUARD_RESOLVER") == resolver
        assert guard.environment(9, path)["LD_PRELOAD"] == "/proc/self/fd/9"
