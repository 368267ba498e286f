"""QEMU's command line for a machine: pure data, nothing is opened or run here.

Two machine types. ``microvm`` has virtio over memory-mapped transports, no PCI and no firmware to speak of, and boots
fastest; ``q35`` has virtio over PCI and is the fall-back. Both start an ELF kernel through its PVH entry.

What can hold a comma or come from a user is passed as JSON, or escaped by `escape`. Descriptors (`Descriptors`) are
opened by the driver and inherited, so that QEMU needs no rights to the directories of its machine.
"""

import ipaddress
import json
from typing import Any, NamedTuple

from banger.vmm.cmdline import COMMON
from banger.vmm.driver import Drive, LaunchSpec, UserNetwork
from banger.vmm.qemu.probe import BASE_OPTIONS, BINARY, Probe, cpu_model

AGENT_PORT = "banger.agent.0"
"""The virtio-serial port's name, by which the guest finds it: /dev/virtio-ports/NAME."""

CAUSE_EVENT = "qemu_system_shutdown_request"
STATE_EVENT = "runstate_set"
"""Trace events whose lines in the log tell, after the fact, why QEMU ended. A restart is an end without a cause."""

_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
_TRANSLATION_CACHE_MIB = 256

CMDLINE = (*COMMON, "reboot=t")  # by triple fault: the one way that every machine type understands

CMDLINE_EMULATED = (
    "tsc=reliable",  # the host's own counter; under load its watchdog would wrongly distrust it
    "no_timer_check",
    "mitigations=off",  # of a processor that is not there; an emulator is no security boundary in any case
)


class Descriptors(NamedTuple):
    """Open descriptors that QEMU inherits: two listening sockets and the console file."""

    control: int
    agent: int
    console: int


def escape(value: str) -> str:
    """A value inside QEMU's ``key=value,...`` syntax: a comma is written twice."""
    return value.replace(",", ",,")


def argv(spec: LaunchSpec, host: Probe, descriptors: Descriptors) -> list[str]:
    """The whole command line."""
    bus = "device" if host.machine == "microvm" else "pci"
    return [
        BINARY, *BASE_OPTIONS, "-S",
        "-name", f"banger-{escape(spec.vm_id)}",
        *_machine(spec, host),
        "-sandbox", _SANDBOX,
        "-kernel", spec.kernel, "-initrd", spec.initrd, "-append", " ".join(cmdline(spec, host)),
        *_channels(bus, descriptors),
        *[word for number, drive in enumerate(spec.drives) for word in _drive(bus, number, drive)],
        *(_network(bus, spec.network) if isinstance(spec.network, UserNetwork) else ()),
        "-device", _json(driver=f"virtio-rng-{bus}"),
        "-trace", f"enable={CAUSE_EVENT}", "-trace", f"enable={STATE_EVENT}",
    ]  # fmt: skip


def cmdline(spec: LaunchSpec, host: Probe) -> list[str]:
    """The kernel's command line: ours for this machine type, then the caller's."""
    words = list(CMDLINE)
    if host.accelerator == "tcg":
        words += CMDLINE_EMULATED
        if host.clock_khz is not None:
            words.append(f"tsc_early_khz={host.clock_khz}")
    return [*words, *spec.cmdline]


def _machine(spec: LaunchSpec, host: Probe) -> list[str]:
    machine = "microvm,acpi=on,rtc=on" if host.machine == "microvm" else "q35"
    accelerator = "kvm" if host.accelerator == "kvm" else f"tcg,thread=multi,tb-size={_TRANSLATION_CACHE_MIB}"
    return [
        "-M", machine, "-accel", accelerator, "-cpu", cpu_model(host.accelerator),
        "-smp", str(spec.vcpus), "-m", f"{spec.memory >> 20}M",
    ]  # fmt: skip


def _channels(bus: str, descriptors: Descriptors) -> list[str]:
    """Control, console, and the agent's port."""
    return [
        "-chardev", f"socket,id=control,fd={descriptors.control},server=on,wait=off",
        "-mon", "chardev=control,mode=control",
        "-add-fd", f"fd={descriptors.console},set=1",
        "-chardev", "file,id=console,path=/dev/fdset/1,append=on", "-serial", "chardev:console",
        "-chardev", f"socket,id=agent,fd={descriptors.agent},server=on,wait=off",
        "-device", _json(driver=f"virtio-serial-{bus}", id="serial", max_ports=2),
        "-device", _json(driver="virtserialport", bus="serial.0", chardev="agent", name=AGENT_PORT),
    ]  # fmt: skip


def _drive(bus: str, number: int, drive: Drive) -> list[str]:
    """A file, the format on top of it and the device; a backing file is named, never read out of the overlay."""
    name = f"drive{number}"
    nodes: list[dict[str, Any]] = []
    top: dict[str, Any] = {
        "driver": drive.format, "node-name": name, "file": f"{name}-file", "read-only": drive.read_only,
        "discard": "unmap",
    }  # fmt: skip
    if drive.backing is not None:
        nodes.append(_file(f"{name}-base-file", drive.backing, read_only=True, durable=True))
        nodes.append({"driver": "raw", "node-name": f"{name}-base", "file": f"{name}-base-file", "read-only": True})
        top["backing"] = f"{name}-base"
    nodes.append(_file(f"{name}-file", drive.path, read_only=drive.read_only, durable=drive.durable))
    nodes.append(top)
    words = [word for node in nodes for word in ("-blockdev", json.dumps(node))]
    return [*words, "-device", _json(driver=f"virtio-blk-{bus}", drive=name, serial=drive.serial)]


def _file(name: str, path: str, *, read_only: bool, durable: bool) -> dict[str, Any]:
    return {
        "driver": "file", "node-name": name, "filename": path, "read-only": read_only, "discard": "unmap",
        "locking": "auto", "cache": {"no-flush": not durable},
    }  # fmt: skip


def _network(bus: str, network: UserNetwork) -> list[str]:
    """User-mode networking, IPv4 only: the guard answers for the rest."""
    interface = ipaddress.IPv4Interface(network.address)
    backend = (
        f"user,id=net,ipv6=off,net={interface.network},host={ipaddress.IPv4Address(network.gateway)},"
        f"dns={ipaddress.IPv4Address(network.dns)},dhcpstart={interface.ip}"
    )
    return ["-netdev", backend, "-device", _json(driver=f"virtio-net-{bus}", netdev="net", mac=network.mac)]


def _json(**properties: Any) -> str:
    return json.dumps(properties)
