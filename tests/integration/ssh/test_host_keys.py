"""Machines' host keys, as ssh-keygen reads them."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from banger import errors, proc
from banger.ssh import host_keys


def test_every_key_is_new_and_nothing_of_it_stays(tmp_path: Path) -> None:
    first, second = (asyncio.run(host_keys.make(str(tmp_path))) for _ in range(2))
    assert first is not None and second is not None and first.public != second.public
    assert os.listdir(tmp_path) == []
    private = tmp_path / "key"
    private.touch(mode=0o600)
    private.write_bytes(first.private)
    told = subprocess.run(["ssh-keygen", "-y", "-f", private], capture_output=True, text=True, check=True).stdout
    assert told.split()[:2] == first.public.split() and first.public.startswith("ssh-ed25519 ")


def test_without_openssh_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(tool: str) -> str:
        raise errors.ToolMissing(tool=tool, package=tool)

    monkeypatch.setattr(proc, "find", missing)
    assert asyncio.run(host_keys.make(str(tmp_path))) is None and os.listdir(tmp_path) == []
