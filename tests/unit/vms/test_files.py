"""The files that make an image one particular machine."""

import msgspec
import pytest

from banger.ssh.host_keys import HostKey
from banger.vms import files
from banger.vms.record import VmRecord

IMAGES = b"""\
# /etc/fstab: static file system information.
UUID=0a3407de-014b-458b-b5c1-848e92a327a3 / ext4 errors=remount-ro 0 1
/dev/sda2 /boot ext4 defaults 0 2
LABEL=data /srv ext4 defaults 0 2
nas:/home /home nfs defaults 0 0
nas:/export/var /var/ nfs defaults 0 0
nas:/export/share /share nfs defaults,nofail 0 0
/swapfile none swap sw 0 0
tmpfs /run tmpfs size=1% 0 0

broken
"""


def test_a_machine_has_no_other_disks() -> None:
    assert files.own_fstab(IMAGES).splitlines() == [
        b"# /etc/fstab: static file system information.",
        b"nas:/export/share /share nfs defaults,nofail 0 0",
        b"",
        b"broken",
        b"tmpfs /run tmpfs mode=0755,nosuid,nodev 0 0",
        b"tmpfs /tmp tmpfs mode=1777,nosuid,nodev 0 0",
    ]


def test_an_image_without_a_table_gets_one() -> None:
    assert files.own_fstab(b"").count(b"\n") == 2


def test_bytes_that_are_no_text_are_kept() -> None:
    line = b"nas:/\xff /here\xe9 nfs nofail 0 0"
    assert line in files.own_fstab(line).splitlines()


def test_sshd_takes_no_password() -> None:
    (dropin,) = files.ssh_files(files.Ssh(None, ""))
    said = dict(line.split(None, 1) for line in dropin.content.decode().splitlines() if not line.startswith("#"))
    assert (
        said["PasswordAuthentication"] == said["KbdInteractiveAuthentication"] == said["PermitEmptyPasswords"] == "no"
    )
    assert said["PermitRootLogin"] == "prohibit-password"
    assert "StrictModes" not in said and "LogLevel" not in said and "HostKey" not in said


def test_a_host_key_is_readable_for_nobody_else() -> None:
    key = HostKey(b"the private half", "ssh-ed25519 AAAA")
    given = {each.path: each for each in files.ssh_files(files.Ssh(key, "ssh-ed25519 BBBB banger"))}
    assert {path: (each.mode, each.uid, each.content) for path, each in given.items() if "sshd_config" not in path} == {
        "/etc/ssh/ssh_host_ed25519_key": (0o600, 0, b"the private half"),
        "/etc/ssh/ssh_host_ed25519_key.pub": (0o644, 0, b"ssh-ed25519 AAAA\n"),
        "/etc/ssh/banger_authorized_keys": (0o644, 0, b"ssh-ed25519 BBBB banger\n"),
    }
    said = given["/etc/ssh/sshd_config.d/99-banger.conf"].content.decode().splitlines()
    assert "HostKey /etc/ssh/ssh_host_ed25519_key" in said
    assert "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/banger_authorized_keys" in said
    assert "private half" not in repr(key)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"host_key": "of a start that failed"}, True),
        ({"started": 1.0}, True),
        ({"started": 1.0, "host_key": "its own"}, False),
        ({"worker_of": "image one"}, False),
    ],
    ids=["first start", "first start again", "older machine", "later start", "worker"],
)
def test_which_starts_bring_a_host_key(changes: dict[str, object], wanted: bool) -> None:
    record = VmRecord(
        id="ab", name="one", image="i", kernel="k", vcpu=1, memory=1, disk_size=1, driver="d", created=1.0
    )
    assert files.wants_host_key(msgspec.structs.replace(record, **changes)) is wanted
