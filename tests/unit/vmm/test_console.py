"""The console file: bounded, and only a hint."""

import os
from pathlib import Path

from banger.vmm import console


def test_trimming_keeps_the_last_half_and_the_open_descriptor(tmp_path: Path) -> None:
    path = str(tmp_path / "console.log")
    writer = console.create(path)
    os.write(writer, b"x" * 1000 + b"y" * 500)
    console.trim(path, 1000)
    assert Path(path).read_bytes() == b"y" * 500
    os.write(writer, b"more")
    assert Path(path).read_bytes() == b"y" * 500 + b"more"
    os.close(writer)


def test_a_small_console_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"x" * 1000)
    console.trim(str(path), 1000)
    assert path.read_bytes() == b"x" * 1000


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret" * 1000)
    link = tmp_path / "console.log"
    link.symlink_to(secret)
    console.trim(str(link), 10)
    assert console.tail(str(link)) == b""
    assert secret.read_text() == "secret" * 1000


def test_a_panic_is_found_at_the_end_and_made_printable(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"boot\r\n[    1.0] Kernel panic - not syncing: out of \x1b[31mluck\r\n---[ end ]---\r\n")
    assert console.panic(str(path)) == "out of \\x1b[31mluck"
    path.write_bytes(b"Kernel panic - not syncing: old\n" + b"x" * console.TAIL)
    assert console.panic(str(path)) is None


def test_the_last_line_skips_empty_ones(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"first\nsecond\n\n  \n")
    assert console.last_line(str(path)) == "second"
    assert console.last_line(str(tmp_path / "gone")) == ""
