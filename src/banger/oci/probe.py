"""What a merged tree is: its real init, its distribution, whether it has a shell."""

from typing import NamedTuple

from banger.disk.ext4.data import DataArea
from banger.disk.ext4.node import Node
from banger.oci.tree import OutOfBounds, Tree

INIT_PATHS = ("/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd", "/sbin/openrc-init",
              "/sbin/runit-init", "/sbin/runit", "/bin/s6-svscan")  # fmt: skip
"""Where an init is looked for, in this order."""

OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
OS_RELEASE_LIMIT = 16 << 10
BUSYBOX = ("/bin/busybox", "/usr/bin/busybox", "/sbin/busybox")
NO_INITS = (b"busybox", b"tini", b"dumb-init", b"catatonit", b"docker-init")
"""Programs that /sbin/init may lead to and that do not bring a system up."""


class Nature(NamedTuple):
    """``init`` is the path of an init that boots a system, None when there is none."""

    init: str | None
    distribution: str
    shell: bool


def examine(tree: Tree, area: DataArea) -> Nature:
    """What is in the tree, whose files are in ``area``."""
    return Nature(_init(tree), _distribution(tree, area), _executable(tree, "/bin/sh") is not None)


def _find(tree: Tree, path: str) -> Node | None:
    try:
        return tree.find(path.encode(), follow=True)
    except OutOfBounds:
        return None


def _executable(tree: Tree, path: str) -> Node | None:
    node = _find(tree, path)
    return node if node is not None and node.is_regular and node.mode & 0o111 else None


def _init(tree: Tree) -> str | None:
    busybox = [node for path in BUSYBOX if (node := _find(tree, path)) is not None]
    for path in INIT_PATHS:
        node = _executable(tree, path)
        if node is not None and node not in busybox and not _leads_to(tree, path, NO_INITS):
            return path
    return None


def _leads_to(tree: Tree, path: str, names: tuple[bytes, ...]) -> bool:
    """Whether the symbolic link at ``path``, or one that it leads to, names one of ``names``."""
    at = path.encode()
    for _ in range(8):
        node = tree.find(at)
        if node is None or not node.is_symlink:
            break
        at = node.target if node.target.startswith(b"/") else at.rpartition(b"/")[0] + b"/" + node.target
    return at.rpartition(b"/")[2] in names


def _distribution(tree: Tree, area: DataArea) -> str:
    """``debian-12`` and the like, from os-release(5); empty when there is none."""
    for path in OS_RELEASE:
        node = _find(tree, path)
        if node is None or not node.is_regular or node.content is None or area.overflowed:
            continue
        return distribution(area.read(node.content, OS_RELEASE_LIMIT))
    return ""


def distribution(os_release: bytes) -> str:
    """ID and VERSION_ID of the content of an os-release(5), as one word."""
    fields = {}
    for line in os_release.decode("utf-8", "replace").splitlines():
        key, equals, value = line.partition("=")
        if equals:
            fields[key.strip()] = value.strip().strip("\"'")
    name = "-".join(filter(None, (fields.get("ID", ""), fields.get("VERSION_ID", ""))))
    return "".join(each for each in name if each.isalnum() or each in "-._")[:64]
