"""A host, guests and an outside, each a network namespace: real kernels' stacks with real cables between them.

A namespace is kept by a descriptor and gone with it. A guest's cable is a tap of the host's that this process opens as
a monitor would; what it carries is copied to and from a tap in the guest's own namespace, whose stack does the rest.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from banger.helper import turn
from banger.helper.host import Host
from banger.helper.operation import Operation, Outcome
from banger.helper.ruleset import GuestRule
from banger.helper.tap import IFF_NO_PI, IFF_TAP, TUNSETIFF

CLONE_NEWNET = 0x40000000
RESOLVER = 42069
PATIENCE = 10.0
MOMENT = 0.2
"""How long to look out for what must not come, after something that was sent later has come."""

_LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Namespace:
    """A network of its own; ``with`` puts this thread into it."""

    def __init__(self) -> None:
        self._back: list[int] = []
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _check(_LIBC.unshare(CLONE_NEWNET))
            self._descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            ip("link set dev lo up")
            Path("/proc/sys/net/ipv4/ip_forward").write_text("0")  # the host's own setting was inherited
        finally:
            _check(_LIBC.setns(back, CLONE_NEWNET))
            os.close(back)

    def __enter__(self) -> "Namespace":
        self._back.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        _check(_LIBC.setns(self._descriptor, CLONE_NEWNET))
        return self

    def __exit__(self, *_: object) -> None:
        back = self._back.pop()
        _check(_LIBC.setns(back, CLONE_NEWNET))
        os.close(back)

    def close(self) -> None:
        os.close(self._descriptor)

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    made = Namespace()
    try:
        yield made
    finally:
        made.close()


def ip(*commands: str) -> str:
    """Commands of ip(8), in the namespace that this thread is in; what they say."""
    return "".join(_run("ip", *command.split()) for command in commands)


def nft(command: str) -> str:
    return _run("nft", command)


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


def perform(operation: Operation, host: Host) -> Outcome:
    return turn.perform(operation, host)


def open_tap(name: str, flags: int = 0) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | flags))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class Guest:
    """A guest on ``tap-fc-SLOT``; make it in the host's namespace, after the tap."""

    def __init__(self, slot: int) -> None:
        self.rule = rule(slot)
        self.address, self.mac = self.rule.address, self.rule.mac
        self._host_end = open_tap(self.rule.tap)
        self.namespace = Namespace()
        with self.namespace:
            self._guest_end = open_tap("eth0")
            self.configure()
        self._stop, stop = os.pipe()
        self._pump = threading.Thread(target=self._copy, args=(stop,), daemon=True)
        self._pump.start()

    def configure(self) -> None:
        """Its own addresses, in its own namespace."""
        ip(
            f"link set dev eth0 address {self.mac} up",
            f"address add {self.address}/24 dev eth0",
            "route add default via 172.16.0.1",
        )

    def _copy(self, stop: int) -> None:
        """Frames in both directions, until told to stop or the tap is gone."""
        other = {self._host_end: self._guest_end, self._guest_end: self._host_end}
        with contextlib.suppress(OSError):
            while stop not in (ready := select.select([*other, stop], [], [])[0]):
                for end in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.write(other[end], os.read(end, 65536))
        os.close(stop)

    def udp(self, source: str | None = None) -> socket.socket:
        with self.namespace:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((source or self.address, 0))
        return made

    def frames(self) -> socket.socket:
        """A socket for whole Ethernet frames."""
        with self.namespace:
            return frames_at("eth0")

    def close(self) -> None:
        os.close(self._stop)
        self._pump.join()
        os.close(self._host_end)
        os.close(self._guest_end)
        self.namespace.close()


def rule(slot: int, **allowed: bool) -> GuestRule:
    return GuestRule(
        tap=f"tap-fc-{slot}", address=f"172.16.0.{slot + 2}", mac=f"02:fc:ac:10:00:{slot + 2:02x}", **allowed
    )


@contextlib.contextmanager
def listener(where: Namespace, address: str, port: int = 0) -> Iterator[socket.socket]:
    """A UDP socket somewhere."""
    with where:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with made:
        made.bind((address, port))
        made.settimeout(PATIENCE)
        yield made


def frames_at(interface: str) -> socket.socket:
    """A socket that sends and sees the whole frames of an interface of the namespace that this thread is in."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    made.bind((interface, 0))
    made.settimeout(PATIENCE)
    return made


def datagram_frame(mac: str, source: str, target_mac: str, target: tuple[str, int], text: bytes) -> bytes:
    """An Ethernet frame with a UDP datagram in it, whoever it claims to be from."""
    payload = struct.pack("!HHHH", 4000, target[1], 8 + len(text), 0) + text
    ends = socket.inet_aton(source) + socket.inet_aton(target[0])
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, socket.IPPROTO_UDP, 0) + ends
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    header = header[:10] + struct.pack("!H", checksum) + header[12:]
    return _mac(target_mac) + _mac(mac) + b"\x08\x00" + header + payload


def arp_frame(mac: str, claimed_mac: str, claimed: str, target: str) -> bytes:
    """A request for ``target`` that says that ``claimed`` is at ``claimed_mac``."""
    ends = _mac(claimed_mac) + socket.inet_aton(claimed) + bytes(6) + socket.inet_aton(target)
    return b"\xff" * 6 + _mac(mac) + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + ends


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def installation(directory: Path) -> Host:
    return Host(owner_uid=1000, owner_gid=1000, private=str(directory / "private"), runtime=str(directory / "run"))
