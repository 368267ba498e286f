"""What device-mapper answers, as bytes, and what is made of it; the kernel's part is played by the test."""

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.helper import device_mapper
from banger.helper.operation import Failed

HEADER = 312
FULL = 1 << 8
Answer = Callable[[int, bytearray], None]


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], None]:
    """Lets a function of the command's number and the request's bytes play the kernel."""
    control = tmp_path / "control"
    control.touch()
    monkeypatch.setattr(device_mapper, "CONTROL", str(control))

    def play(answer: Answer) -> None:
        monkeypatch.setattr(fcntl, "ioctl", lambda _, number, asked: answer(number & 0xFF, asked))

    return play


def listed(names: list[str]) -> bytes:
    """``struct dm_name_list``, as the kernel fills it: aligned, the last with no next."""
    found = b""
    for number, name in enumerate(names):
        size = -(-(12 + len(name) + 1) // 8) * 8
        following = size if number + 1 < len(names) else 0
        found += struct.pack("=QI", os.makedev(253, number), following) + name.encode().ljust(size - 12, b"\0")
    return found or bytes(16)


@pytest.mark.parametrize(
    "names", [[], ["a"], ["a", "fc-rootfs-0123456789abcdef", "vg-root"], [f"d{n}" for n in range(3000)]]
)
def test_every_device_is_listed(answers: Callable[[Answer], None], names: list[str]) -> None:
    data = listed(names)

    def answer(command: int, asked: bytearray) -> None:
        assert command == 2
        struct.pack_into("=I", asked, 16, HEADER)
        if len(asked) < HEADER + len(data):
            struct.pack_into("=I", asked, 28, FULL)
        else:
            asked[HEADER : HEADER + len(data)] = data

    answers(answer)
    assert device_mapper.names() == names


def test_a_device_is_found_by_its_name(answers: Callable[[Answer], None]) -> None:
    def answer(command: int, asked: bytearray) -> None:
        assert command == 7
        if asked[48:176].rstrip(b"\0") != b"one":
            raise OSError(errno.ENXIO, "No such device or address")
        struct.pack_into("=i", asked, 24, 3)
        struct.pack_into("=Q", asked, 40, os.makedev(253, 300))
        struct.pack_into("=4s", asked, 176, b"uuid")

    answers(answer)
    assert device_mapper.find("two") is None
    found = device_mapper.find("one")
    assert found is not None and found == ("uuid", os.makedev(253, 300), 3)


def test_a_device_without_a_table_is_there_all_the_same(answers: Callable[[Answer], None]) -> None:
    """As one is that a process made which was killed before it gave it a table."""
    answers(lambda command, asked: None)
    assert device_mapper.find("one") is not None and device_mapper.table("one") == []


def test_a_host_without_device_mapper_has_no_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_mapper, "CONTROL", str(tmp_path / "none"))
    assert device_mapper.find("one") is None and device_mapper.names() == []
    with pytest.raises(Failed, match="no device-mapper"):
        device_mapper.create("one", "", ["0 8 zero "])
