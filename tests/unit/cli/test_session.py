"""How a guest's command and the time of a verb are told."""

from types import SimpleNamespace

import pytest

from banger import errors
from banger.cli import cmd_vm_cp, cmd_vm_session_kill, session, stopwatch
from banger.sdk import files
from banger.sdk.change import Change


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ({"exit_code": 0}, 0),
        ({"exit_code": 255}, 255),
        ({"signal": 9}, 137),
        ({"timed_out": True}, 124),
        ({"timed_out": True, "signal": 9}, 124),
    ],
)
def test_the_exit_status_says_how_it_ended(ending: dict[str, object], status: int) -> None:
    fields = {"exit_code": None, "signal": None, "timed_out": False} | ending
    assert session.status(SimpleNamespace(**fields)) == status  # type: ignore[arg-type]


def test_a_capture_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CAPTURE_LIMIT", 4)
    capture = session.Capture()
    capture.take(1, b"ab\xff")
    capture.take(2, b"err")
    before = capture.truncated
    capture.take(1, b"cdef")
    assert (before, capture.truncated) == (False, True)
    assert (capture.text(1), capture.text(2)) == ("ab\ufffdc", "err")


@pytest.mark.parametrize("told", [0.0, 0.001, 1e6])
def test_phases_add_up_whatever_the_daemon_says(told: float) -> None:
    watch = stopwatch.Stopwatch()
    phases = [{"name": "disk", "seconds": told}, {"name": "agent", "seconds": told}]
    watch.mark_change(Change({"id": "1", "kind": "k", "subject": "s", "state": "done", "phases": phases}))
    watch.mark("exec")
    names = [phase["name"] for phase in watch.phases()]
    seconds = [phase["seconds"] for phase in watch.phases()]
    assert names == ["client start", "disk", "agent", "daemon", "exec"]
    assert all(isinstance(each, float) and each >= 0 for each in seconds)
    assert sum(map(float, map(str, seconds))) == pytest.approx(watch.seconds(), abs=1e-4)


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("web:/etc", ("web", "/etc")),
        ("web:etc:x", ("web", "etc:x")),
        ("./a:b", None),
        ("/a:b", None),
        ("plain", None),
        ("-", None),
        ("no good:/x", None),
    ],
)
def test_a_machines_path_is_told_from_ours(word: str, parts: tuple[str, str] | None) -> None:
    assert cmd_vm_cp.split(word) == parts


def test_a_machine_without_a_path_is_refused() -> None:
    with pytest.raises(errors.UsageError, match="names no path"):
        cmd_vm_cp.split("web:")


@pytest.mark.parametrize(
    ("contents", "entry", "name"),
    [
        (False, "etc/", "new"),
        (False, "etc/passwd", "new/passwd"),
        (False, "./etc/a/b", "new/a/b"),
        (True, ".", "new"),
        (True, "./", "new"),
        (True, "./etc/passwd", "new/etc/passwd"),
        (True, "passwd", "new/passwd"),
        (False, "etc/../../x", "new/../../x"),  # the archive's reader judges what comes out
    ],
)
def test_the_outermost_name_is_replaced(contents: bool, entry: str, name: str) -> None:
    assert files._renamed("new", contents)(entry) == name


@pytest.mark.parametrize(
    ("typed", "passed", "left"),
    [
        ((b"ls\r",), b"ls\r", False),
        ((b"ls\x10\x11more",), b"ls", True),
        ((b"ls\x10", b"\x11"), b"ls", True),
        ((b"\x10", b"x"), b"\x10x", False),
        ((b"\x10", b"\x10", b"\x11"), b"\x10", True),
        ((b"\x11\x10", b""), b"\x11\x10", False),
    ],
)
def test_the_keys_that_leave_a_session_are_found_wherever_they_are_cut(
    typed: tuple[bytes, ...], passed: bytes, left: bool
) -> None:
    keys = session.DetachKeys()
    assert b"".join(keys.feed(piece) for piece in typed) == passed
    assert keys.typed == left


@pytest.mark.parametrize(("word", "number"), [("KILL", 9), ("sigterm", 15), ("Hup", 1), ("64", 64), ("2", 2)])
def test_signals_by_name_and_number(word: str, number: int) -> None:
    assert cmd_vm_session_kill._number(word) == number


@pytest.mark.parametrize("word", ["", "0", "65", "NONE", "_DFL", "SIG_IGN", "-9", "SIGSIGTERM", "²", "9.0"])
def test_what_is_no_signal(word: str) -> None:
    with pytest.raises(errors.UsageError, match="no signal"):
        cmd_vm_session_kill._number(word)
