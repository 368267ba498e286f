"""Attacks by extended attributes: what no inode holds or no kernel reads is refused or left out."""

import struct
from pathlib import Path

import pytest

from tests.guest_images import Tar
from tests.security.archive_mutations import entry, record
from tests.security.layer_scene import accepted, refused

ACL = "system.posix_acl_access"


def attribute(name: bytes, value: bytes) -> bytes:
    return record(b"SCHILY.xattr." + name, value)


def acl(*entries: tuple[int, int, int]) -> bytes:
    """An access control list as the kernel gives it: tag, permissions, id of each entry."""
    return b"\2\0\0\0" + b"".join(struct.pack("<HHI", *each) for each in entries)


def test_attributes_that_no_inode_holds(tmp_path: Path) -> None:
    records = {"SCHILY.xattr.user.big": "x" * 5000}
    refused(tmp_path, Tar().file("x", pax_headers=records).bytes(), reason="attributes are too large")


def test_malformed_access_control_list(tmp_path: Path) -> None:
    records = {"SCHILY.xattr.system.posix_acl_access": "nonsense"}
    refused(tmp_path, Tar().file("x", pax_headers=records).bytes(), reason="malformed access control list")


def test_attributes_of_exactly_one_block_and_a_byte_more(tmp_path: Path) -> None:
    room = 4096 - 32 - 4 - 16 - 4
    found = accepted(tmp_path, entry(b"x", records=attribute(b"user.a", b"v" * room)))
    assert found[b"x"].xattrs == {"user.a": b"v" * room}
    refused(
        tmp_path,
        entry(b"x", records=attribute(b"user.a", b"v" * (room + 1))),
        reason="^.*: its extended attributes are too large$",
    )
    many = b"".join(attribute(b"user.%d" % number, b"v") for number in range(1000))
    refused(tmp_path, entry(b"x", records=many), reason="attributes are too large")
    refused(tmp_path, entry(b"x", records=attribute(b"user." + b"n" * 256, b"v")), reason="attributes are too large")


@pytest.mark.parametrize("name", [b"user.", b"security.", b"user.a\0b", b"system.posix_acl_accessory", b"nothing", b""])
def test_attributes_that_no_kernel_reads(tmp_path: Path, name: bytes) -> None:
    records = attribute(name, b"v") + attribute(b"user.kept", b"k")
    assert accepted(tmp_path, entry(b"x", records=records))[b"x"].xattrs == {"user.kept": b"k"}


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\2\0\0",
        b"\1\0\0\0" + bytes(8),
        b"\2\0\0\0" + bytes(7),
        acl((0x99, 7, 0)),
        acl((0, 0, 0)),
        acl((1, 0xFFFF, 0)),
        acl((1, 7, 0), (0x40, 7, 0)),
    ],
)
def test_access_control_lists_that_are_malformed(tmp_path: Path, value: bytes) -> None:
    for name in (ACL.encode(), b"system.posix_acl_default"):
        refused(tmp_path, entry(b"x", records=attribute(name, value)), reason="malformed access control list")


def test_access_control_list_that_is_larger_than_a_block(tmp_path: Path) -> None:
    value = acl(*((2, 7, identity) for identity in range(600)))
    refused(tmp_path, entry(b"x", records=attribute(ACL.encode(), value)), reason="attributes are too large")


@pytest.mark.parametrize("value", [b"", b"zz", b"\xff" * 24, b"\1\0\0\2" + bytes(300)])
def test_capabilities_that_are_malformed_are_data(tmp_path: Path, value: bytes) -> None:
    """The kernel refuses them when the file is run; here they are bytes like others."""
    found = accepted(tmp_path, entry(b"x", records=attribute(b"security.capability", value)))
    assert found[b"x"].xattrs == {"security.capability": value}


def test_attributes_of_links_and_whiteouts(tmp_path: Path) -> None:
    records = attribute(b"user.a", b"1")
    layer = entry(b"f", b"1") + entry(b"l", kind=b"1", linkname=b"f", records=records)
    layer += entry(b"s", kind=b"2", linkname=b"f", records=records) + entry(
        b".wh.x", records=attribute(b"user.a", b"v" * 9000)
    )
    found = accepted(tmp_path, layer)
    assert (found[b"f"].xattrs, found[b"s"].xattrs) == ({}, {"user.a": b"1"})
