"""What is kept of a monitor's metrics: the latest whole document, whatever else comes out of the pipe."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.vmm.firecracker import metrics
from banger.vmm.firecracker.metrics import LIMIT, Metrics, latest

ID = "0123456789abcdef"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (b'{"a": 1}\n', b'{"a": 1}'),
        (b'{"a": 1}\n{"a": 2}\n', b'{"a": 2}'),
        (b'"a": 0}\n{"a": 1}\n{"a": ', b'{"a": 1}'),
        (b'[1]\nnull\n"text"\n\xff\n', None),
        (b"[" * LIMIT, None),
        (b'{"a":' * 10_000, None),
        (b"\n" * LIMIT, None),
        (b"", None),
    ],
)
def test_the_last_whole_document_counts(said: bytes, kept: bytes | None) -> None:
    assert latest(said) == kept


def played(act: Callable[[Metrics, int, Path], None], path: Path, until: Callable[[], bool], pause: float = 0) -> None:
    """Let something happen to a pipe whose reading end is kept, until something is true."""

    async def go() -> None:
        reading, writing = os.pipe2(os.O_NONBLOCK)
        kept = Metrics(pause)
        kept.keep(ID, reading, str(path))
        try:
            act(kept, writing, path)
            while not until():  # noqa: ASYNC110 - the pipe tells the loop, and nobody else
                await asyncio.sleep(0)
        finally:
            kept.forget(ID)
            os.close(writing)

    asyncio.run(go())


def test_the_file_is_replaced_and_holds_one_document(tmp_path: Path) -> None:
    path = tmp_path / metrics.NAME
    path.write_text("from before\n")

    def act(_: Metrics, writing: int, __: Path) -> None:
        for number in range(100):
            os.write(writing, b'{"n": %d}\n' % number)

    played(act, path, lambda: path.read_text() == '{"n": 99}\n')
    assert os.listdir(tmp_path) == [metrics.NAME]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_came_last_is_taken_before_the_pipe_is_left(tmp_path: Path) -> None:
    path = tmp_path / metrics.NAME

    def act(kept: Metrics, writing: int, _: Path) -> None:
        os.write(writing, b'{"end": true}\n')
        kept.forget(ID)

    played(act, path, lambda: True)
    assert path.read_text() == '{"end": true}\n'


def test_a_flood_is_read_once_in_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / metrics.NAME, metrics._take
    reads: list[int] = []

    def counted(descriptor: int, path: str) -> bool:
        reads.append(descriptor)
        return real(descriptor, path)

    monkeypatch.setattr(metrics, "_take", counted)

    async def go() -> None:
        reading, writing = os.pipe2(os.O_NONBLOCK)
        kept = Metrics(3600)
        kept.keep(ID, reading, str(path))
        for _ in range(200):
            with contextlib.suppress(BlockingIOError):
                os.write(writing, b'{"a": 1}\n' * 400)
            await asyncio.sleep(0)
        assert len(reads) == 1
        kept.forget(ID)
        os.close(writing)

    asyncio.run(go())


def write_one(_: Metrics, writing: int, __: Path) -> None:
    os.write(writing, b"{}\n")


def test_a_full_disk_and_a_link_in_the_way_lose_nothing_else(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "gone" / metrics.NAME
    victim.write_text("kept")
    other = tmp_path / metrics.NAME
    (tmp_path / f"{metrics.NAME}.new").symlink_to(victim)
    for each in (path, other):
        played(write_one, each, lambda: True)
    assert victim.read_text() == "kept" and not other.exists()
