"""Builds by the service beside the daemon: the real client and the real service, and what systemd would do between."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.oci import debian, debian_client
from banger.paths import BUILDER_VARIABLE


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """A listening socket that starts the service for every connection; the processes that it has started."""
    place = tmp_path / "build.sock"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(place))
    listener.listen(4)
    started: list[subprocess.Popen[bytes]] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    argv = [sys.executable, "-m", "banger.oci.debian_service"]
                    started.append(subprocess.Popen(argv, stdin=connection.fileno(), stdout=subprocess.DEVNULL))

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv(BUILDER_VARIABLE, str(place))
    yield started
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)
    for each in started:
        assert each.wait(30) is not None


def build(tmp_path: Path, heard: list[str], mirror: str) -> None:
    asyncio.run(
        debian.build_rootfs_tar(
            "bookworm", ["busybox-static"], str(tmp_path / "root.tar"), mirror=mirror, heard=heard.append
        )
    )


def test_what_fails_there_is_told_here(tmp_path: Path, service: list["subprocess.Popen[bytes]"]) -> None:
    """mmdebstrap itself runs, and finds no archive at that address."""
    heard: list[str] = []
    with pytest.raises(errors.BuildFailed, match=r"bookworm"):
        build(tmp_path, heard, "http://127.0.0.1:9/debian")
    assert any("apt-get" in line for line in heard)
    assert len(service) == 1
    assert service[0].wait(30) == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["build.sock"]


def test_who_hangs_up_ends_the_build(tmp_path: Path, service: list["subprocess.Popen[bytes]"]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # a mirror that never answers
        mirror = f"http://127.0.0.1:{mute.getsockname()[1]}/debian"

        async def begin_and_leave() -> None:
            begun = asyncio.Event()
            work = asyncio.ensure_future(
                debian.build_rootfs_tar(
                    "bookworm", [], str(tmp_path / "root.tar"), mirror=mirror, heard=lambda line: begun.set()
                )
            )
            await begun.wait()
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work

        asyncio.run(begin_and_leave())
        assert service[0].wait(60) == 1
    assert not os.path.lexists(debian._scratch(str(tmp_path / "root.tar")))


def test_a_service_that_is_not_there_is_a_failure_with_a_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BUILDER_VARIABLE, str(tmp_path / "nothing.sock"))
    with pytest.raises(errors.BuildFailed, match="does not answer") as failed:
        build(tmp_path, [], "http://127.0.0.1:9/debian")
    assert "bangerd-build" in failed.value.advice


@pytest.mark.parametrize("line", [b"", b"{}\n", b'{"output": "/x", "argv": ["sh"]}\n', b"no json\n", b"[" * 100_000])
def test_nonsense_is_not_done(service: list["subprocess.Popen[bytes]"], line: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(debian_client.place()))
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert b"ended" not in answer
