"""Kernels: what machines boot, and the modules that belong to it."""

import msgspec


class PullKernel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take a kernel of a catalog; without ``kernel`` the distribution's, out of its package."""

    kernel: str | None = None
    name: str | None = None
    """What it is to be called; as in the catalog when left out."""
    force: bool = False


class ImportKernel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take a kernel and its modules from a directory on the host."""

    name: str
    path: str


class KernelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel on this host. ``directory`` holds bzImage, vmlinux, modules.ext4 and initrd.cpio."""

    name: str
    release: str
    architecture: str
    source: str
    default: bool
    directory: str
    size: int
    created: float


class KernelList(msgspec.Struct, frozen=True, kw_only=True):
    kernels: list[KernelInfo]
