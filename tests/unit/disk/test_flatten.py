"""What the header of a machine's disk may say."""

import struct

import pytest

from banger.disk.flatten import MAGIC, check_header


def header(
    magic: int = MAGIC, version: int = 3, encryption: int = 0, incompatible: int = 0, size: int = 1 << 30
) -> bytes:
    """With a backing file named, as every overlay has."""
    start = struct.pack(">IIQIIQI", magic, version, 4096, 20, 16, size, encryption)
    return start + struct.pack(">IQQIIQQQQII", 1, 0x30000, 0x10000, 1, 0, 0, incompatible, 0, 0, 4, 104)


def test_a_disk_of_ours_is_taken() -> None:
    assert check_header(header()) == check_header(header(incompatible=1)) == 1 << 30


@pytest.mark.parametrize(
    "data",
    [
        b"",
        header()[:100],
        header(magic=0),
        header(version=2),
        header(encryption=1),
        header(incompatible=1 << 1),  # marked corrupt
        header(incompatible=1 << 2),  # an external data file, which could be any file of the host
        header(incompatible=1 << 3),
        header(incompatible=1 << 4),
        header(incompatible=1 << 63),
    ],
)
def test_what_no_disk_of_ours_says_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        check_header(data)
