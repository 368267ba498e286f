"""What a host must have, judged without a host."""

import os
from pathlib import Path

import pytest

from banger import errors
from banger.privileged.installation import Host
from banger.system import checks, environment
from banger.system.checks import Finding


def test_the_block_of_user_ids_belongs_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_accounts", lambda: iter([(0, 1), (1000, 1)]))
    (tmp_path / "etc").mkdir()
    assert checks.free_uids(1000, str(tmp_path)) == 900_000
    (tmp_path / "etc/subuid").write_text("alice:100000:65536\nbob:886432:65536\n# remark\nbroken:x:1\n")
    assert checks.free_uids(1000, str(tmp_path)) == 700_000_000
    (tmp_path / "etc/subgid").write_text("all:1000000:4000000000\n")
    with pytest.raises(errors.InstallRefused, match="no block of 1000"):
        checks.free_uids(1000, str(tmp_path))


def test_an_account_in_the_block_moves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_accounts", lambda: iter([(900_999, 1)]))
    assert checks.free_uids(1000, str(tmp_path)) == 700_000_000
    monkeypatch.setattr(checks, "_accounts", lambda: iter([(901_000, 1), (899_999, 1)]))
    assert checks.free_uids(1000, str(tmp_path)) == 900_000


def test_only_what_is_required_stops_an_installation() -> None:
    advice = Finding(False, "nft is not installed", "sudo apt-get install nftables")
    assert checks.require([advice]) == [advice]
    with pytest.raises(errors.InstallRefused) as refused:
        checks.require([advice, Finding(True, "no systemd", "use one"), Finding(True, "no cgroups", "boot anew")])
    assert str(refused.value) == "no systemd; no cgroups"
    assert refused.value.advice == "use one; boot anew"


def test_an_owner_is_a_user_and_not_root() -> None:
    with pytest.raises(errors.InstallRefused, match="there is no user 'nobody-of-that-name'"):
        checks.owner("nobody-of-that-name", False)
    with pytest.raises(errors.InstallRefused, match="root would own"):
        checks.owner("root", False)
    assert checks.owner("root", True).pw_uid == 0


def test_what_somebody_else_can_change_is_not_roots(tmp_path: Path) -> None:
    assert environment.not_roots("/usr/bin") == ""
    assert environment.not_roots(str(tmp_path / "missing")).endswith("No such file or directory")
    (tmp_path / "link").symlink_to("/usr/bin")
    assert "symbolic link" in environment.not_roots(str(tmp_path / "link"))
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose").chmod(0o777)
    assert environment.not_roots(str(tmp_path / "loose")) != ""


@pytest.mark.parametrize(("flags", "said"), [(os.ST_NODEV, "nodev"), (os.ST_NODEV | os.ST_NOEXEC, "nodev and noexec")])
def test_jails_need_devices_and_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: int, said: str
) -> None:
    """A place that is still to be made is judged by what is above it."""
    real = os.statvfs
    monkeypatch.setattr(
        os, "statvfs", lambda path: _flagged(real(path), flags) if path == str(tmp_path) else real(path)
    )
    host = Host(owner_uid=1, owner_gid=1, private=f"{tmp_path}/lib/banger-root")
    (found,) = [each for each in checks.examine(host) if "jails" in each.text]
    assert found.required
    assert found.text == f"jails cannot be in {host.private}: its file system is mounted {said}"
    assert found.mend == f"mount another file system at {host.private}"


def _flagged(found: os.statvfs_result, flags: int) -> os.statvfs_result:
    fields = list(found)
    fields[8] = flags
    return os.statvfs_result(fields)
