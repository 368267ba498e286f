"""A guest for tests of drivers: the distribution's kernel and an initrd with Debian's static busybox, no disk needed.

The kernel is pulled once for each user and kept in the build cache (`kept`), keyed by the sources that make it;
$BANGER_TINY_GUEST names a directory that has it already. The agent's port is a virtio-serial port or, with
``banger.port=vsock``, one of the vsock. The kernel's command line tells the guest what to do::

    test.do=echo       send back what comes over the agent's port (the default)
    test.do=poweroff   power off
    test.do=panic      end process 1, at which the kernel panics
    test.do=flood      write to the console without an end
    test.do=clock      say "tick" and its uptime, 5 s later "tock" and its uptime
    test.do=disk       say what is on the disks, try to write to each, power off
    test.do=net test.net=PROTOCOL,HOST,PORT[;...]
                       try to reach each address and say how it went, power off; over udp it asks as a tftp client
"""

import asyncio
import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from banger.kernels import cpio, kernel
from tests import kept

BUSYBOX = "/bin/busybox"
TREE = Path(__file__).resolve().parent.parent
ECHO = Path(__file__).with_name("vsock_echo.c")
PREPARED = "BANGER_TINY_GUEST"

INIT = rb"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
what=echo
lists=/banger/modules
for word in $(cat /proc/cmdline); do
    case $word in
    test.do=*) what=${word#*=};;
    test.net=*) net=${word#*=};;
    banger.port=vsock) lists="$lists /banger/modules.vsock";;
    esac
done
for module in $(cat $lists); do insmod $module; done
echo "guest: $what"
case $what in
poweroff) poweroff -f;;
panic) exit 1;;
flood) while :; do dmesg; done;;
clock) sleep 1; echo "tick $(cat /proc/uptime)"; sleep 5; echo "tock $(cat /proc/uptime)"; poweroff -f;;
disk)
    for disk in /sys/block/vd*; do
        device=/dev/${disk##*/}
        echo "disk $(cat $disk/serial) $(cat $disk/size) $(head -c 8 $device)"
        echo written | dd of=$device bs=512 seek=1 conv=fsync 2>/dev/null && echo "wrote $(cat $disk/serial)"
    done
    poweroff -f;;
net)
    ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up; ip route add default via 10.0.2.2
    echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
    IFS=';'
    for each in $net; do
        IFS=, read -r protocol host port <<END
$each
END
        case $protocol in
        tcp) got=$(nc -w 10 $host $port </dev/null 2>/dev/null);;
        udp) got=$(timeout 2 tftp -g -l /dev/null -r x $host $port 2>&1);;  # the answer is a refusal with a text
        esac
        case $got in *reached) got=reached;; *) got=nothing;; esac
        echo "net $protocol $host $got"
    done
    poweroff -f;;
esac
[ "$lists" = /banger/modules ] || exec /bin/vsock-echo
port=$(ls /dev/vport*p1)
while :; do cat <>$port >&0; usleep 20000; done
"""


class Guest(NamedTuple):
    """What a launch needs."""

    kernel: str
    initrd: str


def guest() -> Guest:
    """The guest, made on first use; parallel workers wait for one of them."""
    if prepared := os.environ.get(PREPARED):
        return _in(Path(prepared))
    return _in(_made())


@functools.cache
def _made() -> Path:
    sources = sorted((TREE / "src/banger/kernels").glob("*.py"))
    return kept.keep("tiny-guest", kept.key(INIT, ECHO, *sources), _make)


def _in(directory: Path) -> Guest:
    return Guest(str(directory / kernel.VMLINUX), str(directory / "guest.cpio"))


def _make(staging: Path) -> None:
    made = asyncio.run(kernel.pull(str(staging), BUSYBOX, lambda stage: None))
    with open(staging / kernel.INITRD, "rb") as file:
        modules = file.read(made.modules_size)
    own = cpio.archive(
        [
            *(cpio.directory(name) for name in ("bin", "dev", "proc", "sys")),
            cpio.character_device("dev/console", 0o600, 5, 1),
            cpio.regular("bin/busybox", Path(BUSYBOX).read_bytes(), 0o755),
            cpio.regular("bin/vsock-echo", _echo(staging), 0o755),
            cpio.regular("init", INIT, 0o755),
        ]
    )
    (staging / "guest.cpio").write_bytes(modules + own)


def _echo(staging: Path) -> bytes:
    """The program of `ECHO`, for busybox knows no vsock; made as the agent is (guest-agent/build.py)."""
    target = staging / "vsock-echo"
    zig = str(staging.parent / "zig")
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl", "-Os", "-static", "-s", "-o",
         str(target), str(ECHO)],
        env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": zig, "ZIG_LOCAL_CACHE_DIR": zig},
        check=True,
        timeout=280,
    )  # fmt: skip
    content = target.read_bytes()
    target.unlink()
    return content
