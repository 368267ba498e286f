"""The table of settings: every name, its type, its default and what it is for.

The loader, the errors for unknown names and the reference page follow from these rows. `Config` is the typed result;
a test holds its fields against the table.

How large a machine is where neither a request nor the file says so, `banger.config.defaults` decides.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from banger.config import defaults, profile, sync, values
from banger.config.defaults import BUILT_IN, Origin, Sized
from banger.config.sizes import GIB, MIB
from banger.config.sync import FileSync


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
    git_identity: bool
    vmm_uid_base: int
    disk_bytes_per_second: int
    disk_operations_per_second: int
    dns_address: str
    dns_port: int
    default_dns: str
    tap_pool_size: int
    vm_defaults: VmDefaults
    file_sync: tuple[FileSync, ...]
    profile: dict[str, dict[str, Any]]
    """By name: fields of `banger.api.vm.CreateVm`."""
    origins: dict[str, Origin]
    """Who has decided each setting, by its name."""


class Setting(NamedTuple):
    """A row. ``parse`` turns what TOML gave into the value, or raises ValueError (`banger.config.values`)."""

    name: str
    kind: str
    """The type in words, for errors and for the reference."""
    default: object
    """None: decided by the host, or unset."""
    parse: Callable[[object], object]
    help: str
    example: object = None
    """What a file might say, where there is no default to show."""

    head: str = ""
    """How its table is begun in a file, where it is one of a kind of its own, with these keys."""
    keys: tuple[values.Row, ...] = ()

    @property
    def sized(self) -> bool:
        """Whether the value is a number of bytes."""
        return self.parse in values.SIZES


SECTION, PROFILE = "vm_defaults.", "profile"

LEVELS = ("debug", "info", "warning", "error")
SIZE = 'a size: "512M", "4G", or a whole number of MiB'
NO_SIZE = '0, or a size: "512M", "4G"'

SETTINGS = (
    Setting("log_level", "one of debug, info, warning, error", "info", values.one_of(*LEVELS),
            "How much the daemon's log says. The environment variable BANGER_LOG_LEVEL wins over it."),
    Setting("default_image", "a string", "debian-bookworm", values.text,
            "The image of a machine that names none. It is made when it is missing."),
    Setting("default_kernel", "a string", None, values.text,
            "The kernel of a machine that names none; unset means the distribution's cloud kernel.", "my-kernel"),
    Setting("driver", "one of auto, firecracker, qemu", "auto", values.one_of("auto", "firecracker", "qemu"),
            "Which virtual machine monitor runs machines; auto takes the best that works on this host."),
    Setting("root_strategy", "one of auto, snapshot, qcow2, reflink, copy", "auto",
            values.one_of("auto", "snapshot", "qcow2", "reflink", "copy"),
            "How new machines get disks of their own over a shared image; auto takes the first that 'banger doctor' "
            "names. Images are built on qcow2 all the same."),
    Setting("console_limit", SIZE, MIB, values.size,
            "How large a machine's console log may grow; its oldest part goes."),
    Setting("boot_timeout", "a number of seconds", 120.0, values.seconds,
            "How long a guest's agent may take to answer after the machine was started."),
    Setting("auto_stop_stale_after", "0, or a number of seconds", 0.0, values.limit,
            "A machine in which no command ran, no session, no copy and no forwarded connection, through banger, for "
            "this long is stopped in order; 0 means never. It counts anew from every start of the daemon."),
    Setting("machine_limit", "a whole number from 0 to 100000", 0, values.whole(0, 100_000),
            "How many machines there may be, running or not; 0 means any number."),
    Setting("memory_limit", NO_SIZE, 0, values.size_or_zero,
            "How much memory the machines that run may have in all; 0 means as much as memory_overcommit allows."),
    Setting("memory_overcommit", "a number from 0.1 to 1000", 4.0, values.factor,
            "How many times the host's memory the machines that run may have in all. Most use a part of theirs; when "
            "all use theirs, the host runs out of it."),
    Setting("disk_reserve", NO_SIZE, None, values.size_or_zero,
            "What stays free of the disk with the state directory: no machine and no image is begun that would leave "
            "less. Unset means 512 MiB, or a twentieth of a disk that is smaller than 10 GiB.", 512 * MIB),
    Setting("debian_mirror", "a string", None, values.text,
            "The archive that kernels and Debian images come from; unset means the one that the host's apt uses.",
            "https://deb.debian.org/debian"),
    Setting("ssh_key_path", "an absolute path, or one that begins with ~/", None, values.absolute,
            "The installation's ssh key, made when it is missing; unset means ssh/id_ed25519 in the state directory.",
            "~/.ssh/id_ed25519"),
    Setting("seed_ssh_key", "true or false", True, values.truth,
            "Whether new machines let the installation's ssh key in. 'banger ssh' uses it."),
    Setting("git_identity", "true or false", True, values.truth,
            "Whether machines get this user's git identity: user.name and user.email, and nothing else of git's global "
            "settings, as /root/.gitconfig, unless the machine has one of its own."),
    Setting("vmm_uid_base", "a whole number from 1000 to 2000000000", 900000, values.whole(1000, 2_000_000_000),
            "When the daemon is root, each monitor runs as a user id of its own from here upwards."),
    Setting("disk_bytes_per_second", '0, or a size: "100M", at most "1T"', 0, values.rate,
            "How much a machine in a jail may read from each of its disks in a second, and as much write to it; 0 is "
            "as fast as the host can. It counts from the machine's next start."),
    Setting("disk_operations_per_second", "a whole number from 0 to 1000000000", 0, values.whole(0, 1_000_000_000),
            "How many reads a machine in a jail may make of each of its disks in a second, and as many writes; 0 is "
            "any number. It counts from the machine's next start."),
    Setting("dns_address", "an IPv4 address", "127.0.0.1", values.ipv4,
            "Where the daemon answers for NAME.vm on the host. Guests with a network of their own ask at its gateway."),
    Setting("dns_port", "0, or a whole number from 1024 to 65535", 42069, values.port,
            "The port of those answers, UDP and TCP; 0 switches them off."),
    Setting("default_dns", "an IPv4 address", "1.1.1.1", values.ipv4,
            "The name server of guests that have a network of their own, for everything but NAME.vm."),
    Setting("tap_pool_size", "a whole number from 0 to 64", 4, values.whole(0, 64),
            "Network interfaces made ahead of time for machines that are yet to be started."),
    Setting("vm_defaults.vcpu", "a whole number from 1 to 64", None, values.whole(1, 64),
            "Processors of a machine; unset means a quarter of the host's, at least 1 and at most 4.", 2),
    Setting("vm_defaults.memory", SIZE, None, values.size,
            "Memory of a machine; unset means an eighth of the host's, at least 512 MiB and at most 8 GiB.",
            2 * GIB),
    Setting("vm_defaults.disk_size", SIZE, BUILT_IN["disk_size"], values.size,
            "Size of a machine's root disk, at least its image's. It is sparse: only what is written takes space."),
    Setting("vm_defaults.work_disk_size", SIZE, BUILT_IN["work_disk_size"], values.size,
            "Size of a machine's work disk, which the guest has on /root. It is sparse as well."),
    Setting("vm_defaults.host_loopback", "true or false", False, values.truth,
            "Whether guests reach what listens on the host: its loopback (at 10.0.2.2), or the bridge's address."),
    Setting("vm_defaults.nat", "true or false", False, values.truth,
            "Whether guests on the bridge reach the outside. Those of a user-mode network always do."),
    Setting("vm_defaults.private", "true or false", False, values.truth,
            "Whether guests on the bridge that reach the outside also reach private networks there (RFC 1918)."),
    Setting("vm_defaults.peers", "true or false", False, values.truth,
            "Whether guests on the bridge reach each other; both must be allowed to."),
    Setting("file_sync", "tables: write [[file_sync]]", (), sync.parse,
            "Files and directories of this host that machines have on their work disks. A machine that starts gets "
            "them when they, or this list, are not what it got last; they replace what it has there, and are root's. "
            "What is not on the host is left out, and told. On a host with the system install all must be in the "
            "owner's home. Together they may be 16 MiB.", head="[[file_sync]]", keys=sync.FIELDS),
    Setting(PROFILE, "tables: write [profile.NAME]", {}, profile.parse,
            "What 'banger run --profile NAME' makes of a machine. A flag wins over the profile. It is read with each "
            "run. A repository can bring the same as a file of its own, .banger.toml, without the head; it takes "
            "effect once you have agreed to it.", head="[profile.NAME]", keys=profile.FIELDS),
)  # fmt: skip
"""Every setting, in the order of the reference page."""


def build(chosen: Mapping[str, object], origins: Mapping[str, Origin] | None = None) -> Config:
    """What is in force by parsed values by name; what is missing takes its default.

    ``origins`` tells who has decided the values that are given, by their names.
    """
    known = {setting.name: defaults.BY_US for setting in SETTINGS}
    known |= {name: Origin("user", "config.toml") for name in chosen} | dict(origins or {})
    configured = {}
    for name in BUILT_IN:
        value = chosen.get(f"{SECTION}{name}")
        if isinstance(value, int):
            configured[name] = Sized(value, known[f"{SECTION}{name}"])
    sizes = defaults.decide(configured, defaults.shares(defaults.processors(), defaults.memory()))
    known |= {f"{SECTION}{name}": each.origin for name, each in sizes.items()}
    full = {setting.name: setting.default for setting in SETTINGS} | dict(chosen)
    full |= {f"{SECTION}{name}": each.value for name, each in sizes.items()}
    nested = {name.removeprefix(SECTION): value for name, value in full.items() if name.startswith(SECTION)}
    flat = {name: value for name, value in full.items() if not name.startswith(SECTION)}
    return msgspec.convert({**flat, "vm_defaults": nested, "origins": known}, Config)


def value_of(config: Config, setting: Setting) -> object:
    """What is in force for one setting."""
    holder = config.vm_defaults if setting.name.startswith(SECTION) else config
    return getattr(holder, setting.name.removeprefix(SECTION))
