"""What the archives hold, read back with a reader of our own."""

import gzip
import lzma
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from banger import errors
from banger.disk.guest_file import GuestFile
from banger.kernels import initrd

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def members(archive: bytes) -> dict[str, tuple[int, int, int, bytes]]:
    """Path to (mode, uid, gid, content) of every member of newc archives that follow one another."""
    found: dict[str, tuple[int, int, int, bytes]] = {}
    at = 0
    while at < len(archive):
        if archive[at] == 0:
            at += 4
            continue
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = archive[at + 110 : at + 110 + fields[11] - 1].decode()
        at = (at + 110 + fields[11] + 3) & ~3
        content = archive[at : at + fields[6]]
        at = (at + fields[6] + 3) & ~3
        if name != "TRAILER!!!":
            found[name] = (fields[1], fields[2], fields[3], content)
    return found


def tree(tmp_path: Path) -> str:
    (tmp_path / "kernel/drivers").mkdir(parents=True)
    lines = {
        "kernel/drivers/virtio_blk.ko": "kernel/drivers/virtio.ko kernel/drivers/virtio_ring.ko",
        "kernel/drivers/virtio.ko": "kernel/drivers/virtio_ring.ko",
        "kernel/drivers/virtio_ring.ko": "",
        "kernel/drivers/virtio-rng.ko": "",
        "kernel/drivers/unwanted.ko": "",
    }
    (tmp_path / "modules.dep").write_text("".join(f"{path}: {needs}\n" for path, needs in lines.items()))
    for path in lines:
        (tmp_path / path).write_bytes(b"\x7fELF" + path.encode())
    return str(tmp_path)


def test_modules_come_in_an_order_that_can_be_loaded(tmp_path: Path) -> None:
    found = members(initrd.modules_archive(tree(tmp_path)))
    assert found["banger/modules"][3] == (
        b"/banger/lib/virtio_ring.ko\n/banger/lib/virtio.ko\n/banger/lib/virtio_blk.ko\n/banger/lib/virtio_rng.ko\n"
    )
    assert found["banger/lib/virtio_rng.ko"][3] == b"\x7fELFkernel/drivers/virtio-rng.ko"
    assert "banger/lib/unwanted.ko" not in found


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".xz", lzma.compress), (".gz", gzip.compress), (".zst", zstd.compress), ("", bytes)],
)
def test_compressed_modules_are_unpacked(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]) -> None:
    path = f"kernel/virtio_blk.ko{suffix}"
    (tmp_path / "kernel").mkdir()
    (tmp_path / path).write_bytes(compress(b"\x7fELF module"))
    (tmp_path / "modules.dep").write_text(f"{path}:\n")
    found = members(initrd.modules_archive(str(tmp_path)))
    assert found["banger/lib/virtio_blk.ko"][3] == b"\x7fELF module"
    (tmp_path / path).write_bytes(b"\x28\xb5\x2f\xfd this is no module")
    with pytest.raises(errors.NotAKernel):
        initrd.modules_archive(str(tmp_path))


def test_a_kernel_without_modules_has_an_empty_list() -> None:
    assert members(initrd.modules_archive(None))["banger/modules"][3] == b""


def test_the_agent_is_init() -> None:
    found = members(initrd.modules_archive(None) + initrd.agent_archive(b"agent"))
    assert found["init"] == (stat.S_IFREG | 0o755, 0, 0, b"agent")
    assert found["dev/console"][0] == stat.S_IFCHR | 0o600


def test_a_machines_files_lie_below_their_place_with_owner_and_mode() -> None:
    archive = initrd.machine_archive(
        [
            GuestFile("/etc/hostname", b"one\n"),
            GuestFile("/home/user/.ssh/authorized_keys", b"key", 0o600, 1000, 1001),
            GuestFile("/etc/localtime", target="/usr/share/zoneinfo/UTC"),
        ]
    )
    found = members(archive)
    assert found["banger/files/etc/hostname"] == (stat.S_IFREG | 0o644, 0, 0, b"one\n")
    assert found["banger/files/home/user/.ssh/authorized_keys"] == (stat.S_IFREG | 0o600, 1000, 1001, b"key")
    assert found["banger/files/etc/localtime"] == (stat.S_IFLNK | 0o777, 0, 0, b"/usr/share/zoneinfo/UTC")
    order = list(found)
    for path in order:
        parent = path.rpartition("/")[0]
        assert not parent or order.index(parent) < order.index(path)


def test_a_hosts_file_brings_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"of the host")
    found = members(initrd.machine_archive([GuestFile("/opt/it", mode=0o755, source=str(tmp_path / "source"))]))
    assert found["banger/files/opt/it"] == (stat.S_IFREG | 0o755, 0, 0, b"of the host")


@pytest.mark.parametrize("path", ["etc/x", "/", "", "/a/../b", "/a//b", "/./a", "/a/", "/a\0b"])
def test_a_path_that_could_mean_another_place_is_refused(path: str) -> None:
    with pytest.raises(errors.UsageError):
        initrd.machine_archive([GuestFile(path)])


def test_a_file_given_twice_is_refused() -> None:
    with pytest.raises(errors.UsageError):
        initrd.machine_archive([GuestFile("/a"), GuestFile("/a")])
