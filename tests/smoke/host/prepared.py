"""The saved machine that every session resumes: booted, settled, with the kit mounted.

Saved is what does not change from one commit to the next; the wheel under test is installed into the resumed machine.
A saved machine is good for the same parts, options, emulator, and rate of this processor's time-stamp counter, which
emulated guests see as it is.

On disk: root.qcow2 with the memory in it; rate, the counter's in kHz.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from banger.vmm.qemu.clock import measure_khz
from tests.kept import Report, kept, key
from tests.smoke.host import image, inputs, kit, line, machine
from tests.smoke.host.line import Line
from tests.smoke.host.machine import Machine, Parts, Size

RATE_TOLERANCE = 0.002
"""Of two readings of the same counter; another processor's is further away."""

SETTLED = """\
for i in $(seq 600); do [ -S /run/systemd/private ] && break; sleep 0.2; done
systemctl is-system-running --wait
"""

PREPARE = """\
set -e
mkdir -p /kit
mount -o ro /dev/disk/by-id/virtio-kit /kit
"""
QUIET = """\
systemctl start systemd-tmpfiles-clean.service
udevadm settle
sync
fstrim /
echo 3 > /proc/sys/vm/drop_caches
"""
"""What would still happen, before the machine is saved; and no memory full of what the disk has."""


class Prepared(NamedTuple):
    """What a session needs to start a box."""

    parts: Parts
    size: Size
    saved: Path


@contextlib.contextmanager
def prepared(size: Size, report: Report) -> Iterator[Prepared]:
    """The saved machine and its parts, each made on first use; nobody removes them while the context lasts."""
    with contextlib.ExitStack() as held:
        kernel = held.enter_context(kept("smoke-kernel", image.kernel_key(), image.make_kernel, report))
        found = held.enter_context(kept("smoke-inputs", inputs.inputs_key(), inputs.make_inputs, report))
        root = held.enter_context(
            kept("smoke-root", image.root_key(), lambda path: image.make_root(path, found), report)
        )
        brought = held.enter_context(
            kept("smoke-kit", kit.kit_key(), lambda path: kit.make_kit(path, kernel, found), report)
        )
        parts = Parts(root, kernel, brought)
        state = key(
            Path(__file__), Path(machine.__file__), str(size), machine.version(),
            *(str(part) for part in parts),
        )  # fmt: skip
        saved = kept("smoke-saved", state, lambda path: _save(path, parts, size), report, _same_rate)
        yield Prepared(parts, size, held.enter_context(saved) / "root.qcow2")


def run_directory() -> Path:
    """A directory for a machine's files, with a name that leaves room for those of sockets."""
    return Path(tempfile.mkdtemp(prefix="bx-", dir="/tmp"))


def _same_rate(directory: Path) -> bool:
    rate, here = float((directory / "rate").read_text()), float(measure_khz() or 0)
    return abs(rate - here) <= RATE_TOLERANCE * rate


def _save(target: Path, parts: Parts, size: Size) -> None:
    (target / "rate").write_text(str(measure_khz() or 0))
    directory = run_directory()
    machine.new_disk(directory, parts)
    box, wire = Machine(directory, parts, size), Line()
    try:
        box.listening()
        wire.attach(box.agent_socket, machine.BOOT_SECONDS)
        _do(wire, SETTLED, machine.BOOT_SECONDS)
        _do(wire, PREPARE, 600)
        _do(wire, QUIET, 120)
        box.save(machine.PREPARED)
    except BaseException as fault:
        fault.add_note("the box's console: " + machine.tail(directory / "console.log"))
        raise
    finally:
        box.end()
        wire.close()
    (directory / "root.qcow2").rename(target / "root.qcow2")
    machine.remove(directory)


def _do(wire: Line, script: str, timeout: float) -> None:
    done = wire.run((*line.SHELL, script), user=None, env={}, cwd="/root", stdin=None, timeout=timeout)
    if done.status != 0:
        raise RuntimeError(f"the box could not be prepared: status {done.status}: {done.stdout}{done.stderr}")
