"""The conversation with debugfs has an end, whatever is in the file system: in bytes, in time, and when cancelled."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from banger import errors
from banger.disk import debugfs

ENDLESS = 1 << 50


@pytest.fixture
def image(tmp_path: Path) -> str:
    """A file system with a file that has no data and never ends."""
    path = tmp_path / "image"
    path.write_bytes(b"")
    os.truncate(path, 16 << 20)
    mke2fs = next(each for each in ("/usr/sbin/mke2fs", "/sbin/mke2fs") if os.path.exists(each))
    subprocess.run([mke2fs, "-q", "-F", "-t", "ext4", path], check=True, capture_output=True)
    made = debugfs.ask(str(path), [["write /dev/null /endless", f"sif /endless size {ENDLESS}"]], write=True)
    assert asyncio.run(made)[0].complaints == []
    return str(path)


def test_what_says_too_much_is_ended(image: str) -> None:
    with pytest.raises(errors.UnusableDisk, match="more than 1048576 bytes"):
        asyncio.run(debugfs.ask(image, [["cat /endless"]], limit=1 << 20))


def test_what_takes_too_long_is_ended(image: str) -> None:
    with pytest.raises(errors.TimedOut):
        asyncio.run(debugfs.ask(image, [["dump /endless /dev/null"]], seconds=0.5))


def test_what_nobody_waits_for_is_ended(image: str) -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(debugfs.ask(image, [["dump /endless /dev/null"]]))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())


def test_answers_belong_to_their_questions(image: str) -> None:
    asked = [["stat /absent"], ["ls -p /"], ["mkdir /x", "nonsense", "stat /y"], ["stat /endless"]]
    absent, listed, several, found = asyncio.run(debugfs.ask(image, asked))
    assert absent.output == b"" and debugfs.NOT_FOUND in absent.complaints[0]
    assert b"/endless/" in listed.output and listed.complaints == []
    assert [each.split(b":")[0] for each in several.complaints] == [b"mkdir", b"debugfs", b"/y"]
    assert b"Type: regular" in found.output and found.complaints == []
