"""Two layers that are hostile but legal: everything that an image may do to a file system, below the directory edge/.

`below` makes what `above` hides, replaces, links to and writes through; together they fit on any other layers. Names
that a test wants to look at are in `SEEN`. Every entry of `above` is one that a tool has lost, refused or misread.
"""

import random
import tarfile

from tests.guest_images import EPOCH, Tar

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
"""cap_net_bind_service, cap_net_admin off: version 2, effective, permitted 0x400."""

ACL = bytes.fromhex(
    "02000000010007000000000002000600e90300000400050000000000080004000a00000010000700ffffffff20000500ffffffff"
)
"""Version 2: owner rwx, user 1001 rw-, group r-x, group 10 r--, mask rwx, others r-x.

The mode of its file must be 0775, because the group of a mode is the mask.
"""

HOLES = ((0, b"first"), (1_000_000, b"second" * 2000), (7_000_001, b"third"))
"""The data of the sparse file: offset and bytes."""

SPARSE_SIZE = 20_000_000

NAMES = (b"new\nline", b"quote\"'`", b"back\\slash", b" space ", b"-dash", b"\xff\xfe\x80", "ümlaut".encode(), b"*?[a]")
"""Names that programs misread."""

SEEN = {
    b"gone": None,
    b"gone-folder": None,
    b"opaque/old": None,
    b"opaque/before": b"before the marker",
    b"opaque/after": b"after the marker",
    b"file-to-folder/inside": b"a file became a directory",
    b"folder-to-file": b"a directory became a file",
    b"real/lib/module": b"through a symbolic link of a lower layer",
    b"link/third": b"first",
    b"alive": b"only its other name was hidden",
    b"twice": b"the second",
}
"""What a reader finds: content by name below edge/, None where nothing may be."""


def _records(**values: bytes) -> dict[str, str]:
    return {f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape") for name, value in values.items()}


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def below() -> bytes:
    """What is there before."""
    tar = Tar().directory("edge")
    tar.file("edge/gone", b"1").directory("edge/gone-folder").directory("edge/gone-folder/b")
    tar.file("edge/gone-folder/a", b"2").file("edge/gone-folder/b/c", b"3")
    tar.directory("edge/opaque", 0o750, uid=7).file("edge/opaque/old", b"4").directory("edge/opaque/older")
    tar.file("edge/opaque/older/x", b"5").file("edge/opaque/before", b"lower").file("edge/opaque/after", b"lower")
    tar.file("edge/file-to-folder", b"6").file("edge/file-to-link", b"7")
    for name in ("folder-to-file", "folder-to-link", "kept"):
        tar.directory(f"edge/{name}", 0o700).file(f"edge/{name}/x", b"8")
    tar.directory("edge/real").directory("edge/real/lib").directory("edge/real/other")
    tar.symlink("edge/lib", "real/lib").symlink("edge/absolute", "/edge/real").symlink("edge/up", "lib/../other")
    tar.symlink("edge/link-to-folder", "real").symlink("edge/link-to-file", "real/lib")
    tar.directory("edge/link").file("edge/link/first", b"first", 0o640, uid=3).hardlink(
        "edge/link/second", "edge/link/first"
    )
    tar.symlink("edge/link/symbol", "first")
    tar.file("edge/shadowed", b"only its other name was hidden").hardlink("edge/alive", "edge/shadowed")
    return tar.bytes()


def above(bulk: int = 0) -> bytes:
    """What an image may do. ``bulk`` is the size of one more file, which no compression makes smaller."""
    tar = Tar()
    _hiding(tar)
    _links(tar)
    _attributes(tar)
    _names_and_times(tar)
    _sparse(tar)
    if bulk:
        tar.file("edge/bulk", random.Random(bulk).randbytes(bulk))
    return tar.bytes()


def _hiding(tar: Tar) -> None:
    tar.file("edge/.wh.gone").file("edge/.wh.gone-folder").file("edge/.wh.shadowed")
    tar.directory("edge/opaque", 0o755).file("edge/opaque/before", b"before the marker")
    tar.file("edge/opaque/.wh..wh..opq").file("edge/opaque/after", b"after the marker")
    tar.directory("edge/file-to-folder").file("edge/file-to-folder/inside", b"a file became a directory")
    tar.file("edge/folder-to-file", b"a directory became a file").symlink("edge/folder-to-link", "real")
    tar.symlink("edge/file-to-link", "kept/x").directory("edge/link-to-folder").file("edge/link-to-folder/x", b"9")
    tar.file("edge/link-to-file", b"10").directory("edge/kept", 0o2755, uid=8, gid=9)
    tar.file("edge/lib/module", b"through a symbolic link of a lower layer")
    tar.file("edge/absolute/by-absolute", b"11").file("edge/up/by-parent", b"12")
    tar.file("edge/twice", b"the first", 0o600).file("edge/twice", b"the second", 0o644)
    tar.file("edge/implied/parents/of/this", b"13")


def _links(tar: Tar) -> None:
    tar.hardlink("edge/link/third", "edge/link/first")
    tar.hardlink("edge/link/symbol-too", "edge/link/symbol")
    tar.file("edge/link/own", b"own", 0o4711, uid=70_000).hardlink("edge/link/own-too", "edge/link/own")
    tar.file("edge/link/replaced", b"14").hardlink("edge/link/replaced-kept", "edge/link/replaced")
    tar.file("edge/link/replaced", b"15")
    for length in (59, 60, 61, 1000, 4000):
        tar.symlink(f"edge/link/of-{length}", (("/" + "t" * 99) * 40)[:length])


def _attributes(tar: Tar) -> None:
    for name, mode in (("setuid", 0o4755), ("setgid", 0o2755), ("sticky", 0o1777), ("none", 0)):
        tar.file(f"edge/{name}", name.encode(), mode).directory(f"edge/{name}-folder", mode)
    tar.file("edge/ids", b"16", uid=65_536, gid=4_000_000_000).directory("edge/ids-folder", uid=131_072, gid=70_000)
    tar.symlink("edge/ids-link", "ids", uid=65_537, gid=65_538)
    tar.add("edge/null", tarfile.CHRTYPE, devmajor=1, devminor=3).add("edge/disk", tarfile.BLKTYPE, devmajor=8)
    tar.add("edge/large-numbers", tarfile.CHRTYPE, devmajor=300, devminor=70_000).add("edge/fifo", tarfile.FIFOTYPE)
    tar.file("edge/capable", b"17", 0o755, pax_headers=_records(**{"security.capability": CAPABILITY}))
    tar.file("edge/acl", b"18", 0o775, pax_headers=_records(**{"system.posix_acl_access": ACL}))
    default = {"system.posix_acl_default": ACL, "trusted.t": b"\x00\xff\n"}
    tar.directory("edge/acl-folder", pax_headers=_records(**default))
    large = {"user.large": b"v" * 3000, "user.small": b"1"}
    tar.file("edge/large-attribute", b"19", pax_headers=_records(**large))
    tar.file("edge/the-same-attribute", b"20", pax_headers=_records(**large))


def _names_and_times(tar: Tar) -> None:
    tar.directory("edge/names")
    for name in NAMES:
        tar.file(f"edge/names/{_text(name)}", name).symlink(f"edge/names/{_text(name)}-link", _text(name))
    tar.file("edge/names/" + "n" * 255, b"21")
    tar.file("/".join(["edge/names", *("d" * 220 for _ in range(4)), "end"]), b"22")
    for kind, time in (("ns", "1700000000.123456789"), ("negative", "-86400.75"), ("2100", "4102444800.5"), ("0", "0")):
        tar.file(f"edge/time-{kind}", b"23", pax_headers={"mtime": time})
        tar.symlink(f"edge/time-{kind}-link", "x", pax_headers={"mtime": time})
        tar.directory(f"edge/time-{kind}-folder", pax_headers={"mtime": time})


def _sparse(tar: Tar) -> None:
    """GNU tar's form 1.0: the map precedes the data."""
    numbers = [len(HOLES) + 1]
    for offset, data in HOLES:
        numbers += [offset, len(data)]
    numbers += [SPARSE_SIZE, 0]
    text = "".join(f"{number}\n" for number in numbers).encode()
    data = text.ljust(-(-len(text) // 512) * 512, b"\0") + b"".join(data for _, data in HOLES)
    tar.file(
        "edge/GNUSparseFile.0/sparse", data,
        pax_headers={
            "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "edge/sparse",
            "GNU.sparse.realsize": str(SPARSE_SIZE),
        },
    )  # fmt: skip


def sparse_content() -> bytes:
    """What the sparse file holds."""
    content = bytearray(SPARSE_SIZE)
    for offset, data in HOLES:
        content[offset : offset + len(data)] = data
    return bytes(content)


__all__ = ["ACL", "CAPABILITY", "EPOCH", "NAMES", "SEEN", "above", "below", "sparse_content"]
