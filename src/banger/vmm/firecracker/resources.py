"""Firecracker's API: every resource that we use, once.

A request is a struct: its fields are the body, its class says method and path. What Firecracker does not know, it
refuses; a field that is None is left out of the body. A test compares this table with the published description of
the API (src/firecracker/swagger/firecracker.yaml of the Firecracker project).
"""

from typing import ClassVar, Literal

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request. A path may name fields of the body in braces."""

    METHOD: ClassVar[Literal["PUT", "PATCH", "GET"]] = "PUT"
    PATH: ClassVar[str]

    @property
    def path(self) -> str:
        return self.PATH.format_map(msgspec.structs.asdict(self))

    def body(self) -> bytes:
        """The JSON object; nothing for what is only read."""
        return b"" if self.METHOD == "GET" else msgspec.json.encode(self)


class MachineConfig(Request, frozen=True, kw_only=True):
    PATH = "/machine-config"
    vcpu_count: int
    mem_size_mib: int


class BootSource(Request, frozen=True, kw_only=True):
    PATH = "/boot-source"
    kernel_image_path: str
    initrd_path: str | None = None
    boot_args: str | None = None


class BlockDevice(Request, frozen=True, kw_only=True):
    PATH = "/drives/{drive_id}"
    drive_id: str
    is_root_device: bool
    path_on_host: str | None = None
    is_read_only: bool | None = None
    cache_type: Literal["Unsafe", "Writeback"] | None = None


class NetworkInterface(Request, frozen=True, kw_only=True):
    PATH = "/network-interfaces/{iface_id}"
    iface_id: str
    host_dev_name: str
    guest_mac: str | None = None


class Vsock(Request, frozen=True, kw_only=True):
    PATH = "/vsock"
    guest_cid: int
    uds_path: str


class Entropy(Request, frozen=True, kw_only=True):
    PATH = "/entropy"


class Balloon(Request, frozen=True, kw_only=True):
    PATH = "/balloon"
    amount_mib: int
    deflate_on_oom: bool
    stats_polling_interval_s: int | None = None


class Logger(Request, frozen=True, kw_only=True):
    PATH = "/logger"
    log_path: str | None = None
    level: Literal["Error", "Warning", "Info", "Debug", "Trace", "Off"] | None = None
    module: str | None = None


class Metrics(Request, frozen=True, kw_only=True):
    PATH = "/metrics"
    metrics_path: str


class Action(Request, frozen=True, kw_only=True):
    PATH = "/actions"
    action_type: Literal["InstanceStart", "FlushMetrics"]


class VmState(Request, frozen=True, kw_only=True):
    METHOD = "PATCH"
    PATH = "/vm"
    state: Literal["Paused", "Resumed"]


class Version(Request, frozen=True, kw_only=True):
    METHOD = "GET"
    PATH = "/version"


class Instance(Request, frozen=True, kw_only=True):
    METHOD = "GET"
    PATH = "/"


TABLE: tuple[type[Request], ...] = (
    MachineConfig, BootSource, BlockDevice, NetworkInterface, Vsock, Entropy, Balloon, Logger, Metrics, Action, VmState,
    Version, Instance,
)  # fmt: skip
"""Every request there is."""
