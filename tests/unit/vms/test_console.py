"""Reading a console."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from banger.vms import console
from banger.vms.booting import console_tail


def collect(path: Path, alive: Callable[[], bool] | None) -> bytes:
    async def run() -> bytes:
        return b"".join([piece async for piece in console.read(str(path), alive)])

    return asyncio.run(run())


def test_all_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    content = bytes(range(256)) * 1000
    path.write_bytes(content)
    assert collect(path, None) == content


def test_a_console_that_was_never_written(tmp_path: Path) -> None:
    assert collect(tmp_path / "console.log", None) == b""
    assert collect(tmp_path / "console.log", lambda: False) == b""
    assert console_tail(str(tmp_path)) == []


def test_following_ends_with_the_machine_and_misses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"one ")
    words = [b"two ", b"three ", b"the end"]

    def alive() -> bool:
        if words:
            with path.open("ab") as file:
                file.write(words.pop(0))
        return bool(words)

    assert collect(path, alive) == b"one two three the end"


def test_following_goes_on_behind_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"x" * 1000)
    steps = iter([lambda: None, lambda: path.write_bytes(b"cut"), lambda: path.write_bytes(b"cut and more")])

    def alive() -> bool:
        step = next(steps, None)
        if step is not None:
            step()
        return step is not None

    assert collect(path, alive) == b"x" * 1000 + b" and more"


def test_the_tail_for_errors_is_bounded_and_printable(tmp_path: Path) -> None:
    (tmp_path / "console.log").write_bytes(b"old\n" * 5000 + b"\x1b[2Jlast words\x07\r\n\n" + b"y" * 3000)
    lines = console_tail(str(tmp_path), 2)
    assert lines[0] == "\\x1b[2Jlast words\\x07" and len(lines[1]) < 300
