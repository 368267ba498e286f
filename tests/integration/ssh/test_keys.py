"""The installation's own key: made once, complete or not at all, and a user's own is never touched."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from banger import errors
from banger.ssh import keys


def ensure(path: Path) -> keys.KeyPair:
    return asyncio.run(keys.ensure(str(path)))


def test_a_pair_is_made_once_whoever_asks(tmp_path: Path) -> None:
    path = tmp_path / "state" / "ssh" / "id_ed25519"

    async def three() -> list[keys.KeyPair]:
        return await asyncio.gather(*[keys.ensure(str(path)) for _ in range(3)])

    pairs = asyncio.run(three())
    assert len(set(pairs)) == 1 and ensure(path) == pairs[0]
    assert path.parent.stat().st_mode & 0o777 == 0o700 and path.stat().st_mode & 0o777 == 0o600
    told = subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True).stdout
    assert told.split()[1] == pairs[0].fingerprint and "ED25519" in told
    assert sorted(os.listdir(path.parent)) == ["id_ed25519", "id_ed25519.pub"]


def test_a_missing_public_half_is_made_of_the_private_one(tmp_path: Path) -> None:
    path = tmp_path / "key"
    pair = ensure(path)
    (tmp_path / "key.pub").unlink()
    again = ensure(path)
    assert again.fingerprint == pair.fingerprint


def test_what_is_there_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "key"
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA a user's own\n")
    with pytest.raises(errors.UnsafeDirectory, match="private key that belongs to it is missing"):
        ensure(path)
    assert (tmp_path / "key.pub").read_text() == "ssh-ed25519 AAAA a user's own\n" and not path.exists()
    path.write_text("no key")
    path.chmod(0o600)
    (tmp_path / "key.pub").unlink()
    with pytest.raises(errors.UnsafeDirectory, match="not a private key"):
        ensure(path)
    assert os.listdir(tmp_path) == ["key"]


def test_a_key_that_others_can_read_and_a_public_half_that_is_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    ensure(path)
    path.chmod(0o640)
    with pytest.raises(errors.UnsafeDirectory, match="others may use this key"):
        ensure(path)
    path.chmod(0o600)
    for text in ("", "ssh-ed25519", "ssh-ed25519 !!!", "ssh-ed25519 AAAA\nssh-ed25519 BBBB"):
        (tmp_path / "key.pub").write_text(text)
        with pytest.raises(errors.UnsafeDirectory, match="not a public key"):
            ensure(path)
