"""``banger firecracker install`` against a release server on loopback, with the programs of a real release."""

import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger import errors
from banger.system.firecracker import Wanted, fetch_and_install
from tests.released import released
from tests.web import Web

VERSION = "1.12.1"
MACHINE = platform.machine()
INSIDE = f"release-v{VERSION}-{MACHINE}"


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as server:
        yield server


def program(name: str) -> bytes:
    return (released() / name).read_bytes()


def archive(members: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    """A release as the project packs it: each program beside its debug symbols and checksums."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as release:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                release.addfile(content)
                continue
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o777
            release.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def whole() -> dict[str, bytes | tarfile.TarInfo]:
    return {
        f"{INSIDE}/SHA256SUMS": b"sums",
        f"{INSIDE}/firecracker-v{VERSION}-{MACHINE}.debug": b"symbols",
        f"{INSIDE}/firecracker-v{VERSION}-{MACHINE}": program("firecracker"),
        "../../etc/passwd": b"root::0:0:::",
        f"{INSIDE}/jailer-v{VERSION}-{MACHINE}": program("jailer"),
    }


def unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("banger.system.firecracker.PINNED", {})


def wanted(root: Path, source: str, data: bytes, **changes: str) -> Wanted:
    values: dict[str, Any] = {
        "version": VERSION,
        "source": source,
        "sha256": hashlib.sha256(data).hexdigest(),
        **changes,
    }
    return Wanted(**values, root=str(root))


def left(root: Path) -> list[str]:
    return sorted(str(each.relative_to(root)) for each in root.rglob("*") if not each.is_dir())


def test_both_programs_are_taken_and_nothing_else(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpinned(monkeypatch)
    data = archive(whole())
    web.serve("/release.tgz", data, most=3_000_000)  # the connection breaks, and is taken up again
    url = web.redirect("/latest", web.url("/release.tgz"))
    done = fetch_and_install(wanted(tmp_path, url, data))
    assert done.version == VERSION
    assert [each.partition(":")[0] for each in done.notices] == [f"jailer {VERSION} has CVE-2026-1386"]
    assert left(tmp_path) == ["usr/local/bin/firecracker", "usr/local/bin/jailer"]
    for name in ("firecracker", "jailer"):
        path = tmp_path / "usr/local/bin" / name
        assert path.read_bytes() == program(name)
        assert path.stat().st_mode & 0o7777 == 0o755


def test_a_pinned_release_needs_no_digest_and_takes_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = archive(whole())
    (tmp_path / "release.tgz").write_bytes(data)
    pins = {(VERSION, MACHINE): hashlib.sha256(data).hexdigest()}
    monkeypatch.setattr("banger.system.firecracker.PINNED", pins)
    root = tmp_path / "host"
    assert fetch_and_install(wanted(root, str(tmp_path / "release.tgz"), data, sha256="")).version == VERSION
    with pytest.raises(errors.UsageError, match="not the sha256 of Firecracker"):
        fetch_and_install(wanted(root, str(tmp_path / "release.tgz"), data, sha256="0" * 64))


def test_an_upgrade_that_fails_leaves_what_there_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpinned(monkeypatch)
    places = [tmp_path / "host/usr/local/bin" / name for name in ("firecracker", "jailer")]
    places[0].parent.mkdir(parents=True)
    for place in places:
        place.write_bytes(b"of before")
    for name, data in faulty().items():
        (tmp_path / "release.tgz").write_bytes(data)
        with pytest.raises(errors.CorruptBlob):
            fetch_and_install(wanted(tmp_path / "host", str(tmp_path / "release.tgz"), data))
        assert [place.read_bytes() for place in places] == [b"of before"] * 2, name
        assert len(left(tmp_path / "host")) == 2, name


def faulty() -> dict[str, bytes]:
    jailer = f"{INSIDE}/jailer-v{VERSION}-{MACHINE}"
    lacking, linked, other, broken = whole(), whole(), whole(), whole()
    del lacking[jailer]
    link = tarfile.TarInfo()
    link.type, link.linkname = tarfile.SYMTYPE, "/bin/sh"
    linked[jailer] = link
    other[jailer] = b"#!/bin/sh\necho Jailer v1.12.0\n"
    broken[jailer] = b"no program"
    good = archive(whole())
    return {
        "no jailer": archive(lacking),
        "a link": archive(linked),
        "another version": archive(other),
        "no program": archive(broken),
        "half of it": good[: len(good) // 2],
        "no archive": b"<html>",
    }


def test_another_content_is_never_looked_into(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpinned(monkeypatch)
    url = web.serve("/release.tgz", archive(whole()))
    with pytest.raises(errors.CorruptBlob, match="the archive has sha256"):
        fetch_and_install(wanted(tmp_path, url, b"something else"))
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "1.9.0"}, "too old"),
        ({"version": "newest"}, "no version of a release"),
        ({"version": "1.99.0", "sha256": ""}, "is not known here"),
        ({"sha256": "abc"}, "is no sha256"),
    ],
)
def test_what_cannot_be_installed_is_told_before_anything_is_fetched(
    changes: dict[str, str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(errors.UsageError, match=words):
        fetch_and_install(wanted(tmp_path, "/nowhere", b"", **changes))


def test_a_server_that_does_not_have_it_is_named(web: Web, tmp_path: Path) -> None:
    with pytest.raises(errors.SourceUnavailable, match="404"):
        fetch_and_install(wanted(tmp_path, web.url("/none"), b"", version="1.99.0"))
    web.paths["/huge"] = lambda handler: handler.begin(200, Content_Length=str(1 << 40))
    with pytest.raises(errors.SourceUnavailable, match="too many"):
        fetch_and_install(wanted(tmp_path, web.url("/huge"), b"", version="1.99.0"))
    web.paths["/silent"] = lambda handler: handler.begin(200)
    with pytest.raises(errors.SourceUnavailable, match="does not say"):
        fetch_and_install(wanted(tmp_path, web.url("/silent"), b"", version="1.99.0"))


def test_the_command_tells_what_is_in_place(tmp_path: Path) -> None:
    data = archive(whole())
    (tmp_path / "release.tgz").write_bytes(data)
    request = {
        "version": VERSION, "source": str(tmp_path / "release.tgz"), "json": True, "root": str(tmp_path / "host"),
        "sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip
    argv = [sys.executable, "-m", "banger.system.firecracker"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    refused = subprocess.run([*argv, json.dumps(request)], capture_output=True, text=True, env=env, check=False)
    assert refused.returncode == errors.UsageError.exit_status  # the release that is pinned is another archive
    assert "is not the sha256 of Firecracker 1.12.1" in refused.stderr
    request |= {"version": "", "sha256": ""}
    refused = subprocess.run([*argv, json.dumps(request)], capture_output=True, text=True, env=env, check=False)
    assert refused.returncode == errors.CorruptBlob.exit_status
    assert "sha256" in refused.stderr
