"""The files that make an image one particular machine."""

from banger.vms import files

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
    (dropin,) = [each for each in files.system_files(b"") if each.path.startswith("/etc/ssh")]
    said = dict(line.split(None, 1) for line in dropin.content.decode().splitlines() if not line.startswith("#"))
    assert (
        said["PasswordAuthentication"] == said["KbdInteractiveAuthentication"] == said["PermitEmptyPasswords"] == "no"
    )
    assert said["PermitRootLogin"] == "prohibit-password"
    assert "StrictModes" not in said and "LogLevel" not in said
