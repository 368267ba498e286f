"""The table of settings: every name, its type, its default and what it is for.

The loader, the errors for unknown names and the reference page follow from these rows. `Config` is the typed result;
a test holds its fields against the table.

How large a machine is where neither a request nor the file says so, `banger.config.defaults` decides.
"""

import os
import socket
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from banger import errors
from banger.config import defaults
from banger.config.defaults import BUILT_IN, Sized
from banger.config.sizes import MIB, TIB, format_size, parse_size


class VmDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine is like when nobody says. Sizes are bytes."""

    vcpu: int
    memory: int
    disk_size: int
    work_disk_size: int
    host_loopback: bool
    nat: bool
    private: bool
    peers: bool


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force. Sizes are bytes, durations are seconds."""

    log_level: str
    default_image: str
    default_kernel: str | None
    driver: str
    root_strategy: str
    console_limit: int
    boot_timeout: float
    auto_stop_stale_after: float
    machine_limit: int
    memory_limit: int
    memory_overcommit: float
    disk_reserve: int | None
    debian_mirror: str | None
    ssh_key_path: str | None
    seed_ssh_key: bool
    vmm_uid_base: int
    disk_bytes_per_second: int
    disk_operations_per_second: int
    dns_address: str
    dns_port: int
    default_dns: str
    tap_pool_size: int
    vm_defaults: VmDefaults
    origins: dict[str, str]
    """Who has decided each size of `VmDefaults`; see `banger.config.defaults`."""


class Setting(NamedTuple):
    """A row. ``parse`` turns what TOML gave into the value, or raises ValueError or `errors.UsageError`."""

    name: str
    kind: str
    """The type in words, for errors and for the reference."""
    default: object
    """None: decided by the host, or unset."""
    parse: Callable[[object], object]
    help: str


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _one_of(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return parse


def _whole(lowest: int, highest: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise ValueError
        return value

    return parse


def _port(value: object) -> int:
    return 0 if value == 0 and value is not False else _whole(1024, 65535)(value)


def _ipv4(value: object) -> str:
    """Checked by the C library, whose parser costs a verb nothing to load."""
    try:
        return socket.inet_ntoa(socket.inet_pton(socket.AF_INET, _text(value)))
    except OSError:
        raise ValueError from None


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _absolute(value: object) -> str:
    if not isinstance(value, str) or not value.startswith(("/", "~/")) or "\0" in value:
        raise ValueError
    return os.path.normpath(os.path.expanduser(value))


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError
    return parse_size(str(value))


def _size_or_zero(value: object) -> int:
    return 0 if value in (0, "0") and value is not False else _size(value)


def _rate(value: object) -> int:
    if (rate := _size_or_zero(value)) > TIB:
        raise ValueError
    return rate


def _factor(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.1 <= value <= 1000:
        raise ValueError
    return float(value)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86400:
        raise ValueError
    return float(value)


def _limit(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 315_360_000:
        raise ValueError
    return float(value)


LEVELS = ("debug", "info", "warning", "error")
SIZE = 'a size: "512M", "4G", or a whole number of MiB'
NO_SIZE = '0, or a size: "512M", "4G"'

SETTINGS = (
    Setting("log_level", "one of debug, info, warning, error", "info", _one_of(*LEVELS),
            "How much the daemon's log says. The environment variable BANGER_LOG_LEVEL wins over it."),
    Setting("default_image", "a string", "debian-bookworm", _text,
            "The image of a machine that names none. It is made when it is missing."),
    Setting("default_kernel", "a string", None, _text,
            "The kernel of a machine that names none; unset means the distribution's cloud kernel."),
    Setting("driver", "one of auto, firecracker, qemu", "auto", _one_of("auto", "firecracker", "qemu"),
            "Which virtual machine monitor runs machines; auto takes the best that works on this host."),
    Setting("root_strategy", "one of auto, snapshot, qcow2, reflink, copy", "auto",
            _one_of("auto", "snapshot", "qcow2", "reflink", "copy"),
            "How new machines get disks of their own over a shared image; auto takes the first that 'banger doctor' "
            "names. Images are built on qcow2 all the same."),
    Setting("console_limit", SIZE, MIB, _size,
            "How large a machine's console log may grow; its oldest part goes."),
    Setting("boot_timeout", "a number of seconds", 120.0, _seconds,
            "How long a guest's agent may take to answer after the machine was started."),
    Setting("auto_stop_stale_after", "0, or a number of seconds", 0.0, _limit,
            "A machine in which no command ran, no session, no copy and no forwarded connection, through banger, for "
            "this long is stopped in order; 0 means never. It counts anew from every start of the daemon."),
    Setting("machine_limit", "a whole number from 0 to 100000", 0, _whole(0, 100_000),
            "How many machines there may be, running or not; 0 means any number."),
    Setting("memory_limit", NO_SIZE, 0, _size_or_zero,
            "How much memory the machines that run may have in all; 0 means as much as memory_overcommit allows."),
    Setting("memory_overcommit", "a number from 0.1 to 1000", 4.0, _factor,
            "How many times the host's memory the machines that run may have in all. Most use a part of theirs; when "
            "all use theirs, the host runs out of it."),
    Setting("disk_reserve", NO_SIZE, None, _size_or_zero,
            "What stays free of the disk with the state directory: no machine and no image is begun that would leave "
            "less. Unset means 512 MiB, or a twentieth of a disk that is smaller than 10 GiB."),
    Setting("debian_mirror", "a string", None, _text,
            "The archive that kernels and Debian images come from; unset means the one that the host's apt uses."),
    Setting("ssh_key_path", "an absolute path, or one that begins with ~/", None, _absolute,
            "The installation's ssh key, made when it is missing; unset means ssh/id_ed25519 in the state directory."),
    Setting("seed_ssh_key", "true or false", True, _truth,
            "Whether new machines let the installation's ssh key in. 'banger ssh' uses it."),
    Setting("vmm_uid_base", "a whole number from 1000 to 2000000000", 900000, _whole(1000, 2_000_000_000),
            "When the daemon is root, each monitor runs as a user id of its own from here upwards."),
    Setting("disk_bytes_per_second", '0, or a size: "100M", at most "1T"', 0, _rate,
            "How much a machine in a jail may read from each of its disks in a second, and as much write to it; 0 is "
            "as fast as the host can. It counts from the machine's next start."),
    Setting("disk_operations_per_second", "a whole number from 0 to 1000000000", 0, _whole(0, 1_000_000_000),
            "How many reads a machine in a jail may make of each of its disks in a second, and as many writes; 0 is "
            "any number. It counts from the machine's next start."),
    Setting("dns_address", "an IPv4 address", "127.0.0.1", _ipv4,
            "Where the daemon answers for NAME.vm on the host. Guests with a network of their own ask at its gateway."),
    Setting("dns_port", "0, or a whole number from 1024 to 65535", 42069, _port,
            "The port of those answers, UDP and TCP; 0 switches them off."),
    Setting("default_dns", "an IPv4 address", "1.1.1.1", _ipv4,
            "The name server of guests that have a network of their own, for everything but NAME.vm."),
    Setting("tap_pool_size", "a whole number from 0 to 64", 4, _whole(0, 64),
            "Network interfaces made ahead of time for machines that are yet to be started."),
    Setting("vm_defaults.vcpu", "a whole number from 1 to 64", None, _whole(1, 64),
            "Processors of a machine; unset means a quarter of the host's, at least 1 and at most 4."),
    Setting("vm_defaults.memory", SIZE, None, _size,
            "Memory of a machine; unset means an eighth of the host's, at least 512 MiB and at most 8 GiB."),
    Setting("vm_defaults.disk_size", SIZE, BUILT_IN["disk_size"], _size,
            "Size of a machine's root disk, at least its image's. It is sparse: only what is written takes space."),
    Setting("vm_defaults.work_disk_size", SIZE, BUILT_IN["work_disk_size"], _size,
            "Size of a machine's work disk, which the guest has on /root. It is sparse as well."),
    Setting("vm_defaults.host_loopback", "true or false", False, _truth,
            "Whether guests reach what listens on the host: its loopback (at 10.0.2.2), or the bridge's address."),
    Setting("vm_defaults.nat", "true or false", False, _truth,
            "Whether guests on the bridge reach the outside. Those of a user-mode network always do."),
    Setting("vm_defaults.private", "true or false", False, _truth,
            "Whether guests on the bridge that reach the outside also reach private networks there (RFC 1918)."),
    Setting("vm_defaults.peers", "true or false", False, _truth,
            "Whether guests on the bridge reach each other; both must be allowed to."),
)  # fmt: skip
"""Every setting, in the order of the reference page."""


def build(values: Mapping[str, object], files: Mapping[str, str] | None = None) -> Config:
    """What is in force by parsed values by name; what is missing takes its default.

    ``files`` tells which file a value is from, by its name.
    """
    full = {setting.name: setting.default for setting in SETTINGS} | dict(values)
    nested = {name.partition(".")[2]: value for name, value in full.items() if name.startswith("vm_defaults.")}
    configured = {}
    for name in BUILT_IN:
        value = values.get(f"vm_defaults.{name}")
        if isinstance(value, int):
            configured[name] = Sized(value, (files or {}).get(f"vm_defaults.{name}", "config.toml"))
    sizes = defaults.decide(configured, defaults.shares(defaults.processors(), defaults.memory()))
    nested |= {name: each.value for name, each in sizes.items()}
    flat = {name: value for name, value in full.items() if "." not in name}
    origins = {name: each.origin for name, each in sizes.items()}
    return msgspec.convert({**flat, "vm_defaults": nested, "origins": origins}, Config)


def parse(setting: Setting, value: object, path: str) -> object:
    """The value of a setting as its type. Raises `errors.BadSetting`."""
    try:
        return setting.parse(value)
    except (ValueError, errors.UsageError):
        shown = repr(value)[:60]
        raise errors.BadSetting(path=path, key=setting.name, reason=f"{shown} is not {setting.kind}") from None


def shown_default(setting: Setting) -> str:
    """A default as the reference page shows it."""
    if setting.default is None:
        return "unset"
    if isinstance(setting.default, bool):
        return f"`{str(setting.default).lower()}`"
    if setting.kind == SIZE and isinstance(setting.default, int):
        return f'`"{format_size(setting.default).replace(" ", "").removesuffix("iB")}"`'
    return f'`"{setting.default}"`' if isinstance(setting.default, str) else f"`{setting.default:g}`"
