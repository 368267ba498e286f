"""The newc form, byte by byte."""

from banger.kernels import cpio


def test_a_member_is_header_name_content_each_padded_to_four() -> None:
    made = cpio.archive([cpio.regular("a", b"hello", 0o640)])
    fields = ("00000001", "000081A0", "00000000", "00000000", "00000001", "00000000", "00000005")
    assert made.startswith(b"070701" + "".join(fields).encode())
    assert made[110:124] == b"a\0" + b"hello" + b"\0\0\0" + b"0707"
    assert b"TRAILER!!!\0" in made
    assert len(made) % cpio.BLOCK == 0


def test_a_device_has_its_numbers_and_a_directory_two_links() -> None:
    made = cpio.archive([cpio.directory("dev"), cpio.character_device("dev/console", 0o600, 5, 1)])
    assert made[6 + 8 : 6 + 16] == b"000041ED"
    assert made[6 + 32 : 6 + 40] == b"00000002"
    second = made.index(b"070701", 6)
    assert made[second + 6 + 72 : second + 6 + 88] == b"0000000500000001"


def test_the_same_entries_make_the_same_bytes() -> None:
    entries = [cpio.directory("x"), cpio.regular("x/y", b"1")]
    assert cpio.archive(entries) == cpio.archive(iter(entries))
