"""What the owner's daemon does with a jail, as a script in the box: ``jail_owner.py STEP``, one JSON object back.

It runs as the owner, whose every request goes to the helper over its socket.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence

from banger import errors
from banger.helper.operation import Operation, Outcome
from banger.privileged.client import Helper
from banger.privileged.installation import load
from banger.privileged.operations import Connect, Contain, Inspect, Jails, Launch, Signal, StoreFile, Sweep

VM_ID = "00000000000000b1"
SLOT, TAP = 7, "tap-fc-7"
STATE = "/var/lib/banger"
ARGUMENTS = (
    "console=ttyS0 reboot=k panic=-1 pci=off quiet loglevel=3 mitigations=off tsc=reliable no_timer_check "
    "random.trust_cpu=on cryptomgr.notests 8250.nr_uarts=1 i8042.noaux i8042.nomux i8042.dumbkbd"
)


def perform(operation: Operation, descriptors: Sequence[int] = ()) -> Outcome:
    host = load()
    return asyncio.run(Helper(host.socket, host).perform(operation, descriptors=descriptors))


def put(path: str, body: Mapping[str, object]) -> None:
    """One request to the monitor's API, over a connection that the helper made."""
    (descriptor,) = perform(Connect(vm_id=VM_ID, socket="api")).descriptors
    with socket.socket(fileno=descriptor) as connection:
        connection.settimeout(60)
        text = json.dumps(body)
        head = f"PUT {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        connection.sendall((head + text).encode())
        answer = connection.recv(4096)
    assert b" 204 " in answer, f"{path}: {answer!r}"


def store(sha256: str, name: str) -> None:
    perform(StoreFile(path=f"{STATE}/{name}", sha256=sha256))


def launch(kernel: str, initrd: str) -> object:
    """A guest with a disk, a network interface and a vsock, running."""
    store(kernel, "vmlinux")
    store(initrd, "initrd")
    console = os.open(f"{STATE}/console", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    request = Launch(
        vm_id=VM_ID, slot=SLOT, kernel=kernel, initrd=initrd, device=True, tap=TAP, vcpus=1, memory=128,
        io_bytes=64 << 20,
    )  # fmt: skip
    values = perform(request, (console,)).values
    boot = {"kernel_image_path": "/vmlinux", "initrd_path": "/initrd", "boot_args": ARGUMENTS}
    put("/machine-config", {"vcpu_count": 1, "mem_size_mib": 128})
    put("/boot-source", boot)
    put("/drives/root", {"drive_id": "root", "path_on_host": "/root", "is_root_device": False, "is_read_only": False})
    put("/network-interfaces/eth0", {"iface_id": "eth0", "host_dev_name": TAP, "guest_mac": "02:fc:00:00:00:07"})
    put("/vsock", {"guest_cid": 3, "uds_path": "/run/vsock.sock"})
    put("/actions", {"action_type": "InstanceStart"})
    return values


def inspect() -> object:
    return perform(Inspect(vm_id=VM_ID)).values


def machines() -> object:
    return perform(Jails()).values


def connect() -> object:
    """Both of the machine's sockets can be reached."""
    for name in ("api", "vsock"):
        for descriptor in perform(Connect(vm_id=VM_ID, socket=name)).descriptors:
            os.close(descriptor)
    return {}


def contain() -> object:
    return perform(Contain(vm_id=VM_ID)).values


def kill(pid: str, start_ticks: str) -> object:
    return perform(Signal(vm_id=VM_ID, pid=int(pid), start_ticks=int(start_ticks), signal="KILL")).values


def attack(pid: str, start_ticks: str) -> object:
    """What the owner may not have; the reasons."""
    wanted: list[Operation] = [
        Signal(vm_id=VM_ID, pid=int(pid), start_ticks=int(start_ticks), signal="KILL"),
        Launch(vm_id=VM_ID, slot=SLOT + 1, kernel="0" * 64, initrd="0" * 64, vcpus=1, memory=128),
        StoreFile(path="/etc/shadow", sha256="0" * 64),
        StoreFile(path=f"{STATE}/shadow", sha256="0" * 64),
    ]
    reasons = []
    console = os.open(f"{STATE}/console", os.O_WRONLY | os.O_APPEND)
    for each in wanted:
        try:
            perform(each, (console,) if each.DESCRIPTORS else ())
        except errors.PrivilegeRefused as refused:
            reasons.append(str(refused))
    return reasons


def sweep() -> object:
    return perform(Sweep(vm_id=VM_ID)).values


STEPS = {each.__name__: each for each in (launch, contain, inspect, machines, connect, kill, attack, sweep)}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](*sys.argv[2:])))
