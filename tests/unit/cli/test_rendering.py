"""What is shown: tables, progress, consoles, and nothing that a guest could do to a terminal with them."""

import pytest

from banger import errors
from banger.cli import failures, progress
from banger.cli.cmd_vm_logs import Filter
from banger.cli.progress import Display, bar
from banger.cli.terminal import CLEAR_LINE, Terminal
from banger.cli.workspace import watched
from banger.sdk.change import Change
from banger.sdk.workspace import Sent

Capture = pytest.CaptureFixture[str]
EVIL = "\x1b]0;owned\x07\x1b[2Jname\r\n\u202e"


def change(**fields: object) -> Change:
    return Change({"id": "7", "kind": "vm.create", "subject": "web", "state": "running"} | fields)


def progress_of(done: int, total: int | None = None, unit: str = "bytes") -> dict[str, object]:
    return {"done": done, "total": total, "unit": unit}


def safe(text: str) -> bool:
    return all(each.isprintable() or each == "\n" for each in text)


def test_a_table_lines_up_and_is_safe(capsys: Capture) -> None:
    rows: list[dict[str, object]] = [{"name": "web", "size": 5}, {"name": EVIL, "size": None}, {"name": "longer-name"}]
    Terminal().table(rows, (("name", "NAME"), ("size", "SIZE")))
    out, _err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 4
    assert safe(out)
    column = lines[0].index("SIZE")
    assert [line[column:] for line in lines] == ["SIZE", "5", "-", "-"]


def test_facts_leave_out_what_is_not_known(capsys: Capture) -> None:
    Terminal().facts((("name", "web"), ("address", None), ("error", EVIL)))
    out, _err = capsys.readouterr()
    assert out.splitlines()[0] == "name   web"
    assert "address" not in out
    assert safe(out)


def test_errors_are_told_on_one_line_each_and_safe(capsys: Capture) -> None:
    error = errors.from_wire("not_found", EVIL, EVIL, {}, operation="7")
    failures.tell(error, Terminal())
    out, err = capsys.readouterr()
    assert safe(err)
    assert err.startswith("banger: ")
    assert err.rstrip().endswith("(operation 7)")
    assert out == ""


def test_notices_are_told_once_and_safe(capsys: Capture) -> None:
    display = Display(Terminal())
    display.show(change(notices=["first"]))
    display.show(change(notices=["first", EVIL]))
    display.show(change(notices=["first", EVIL], state="done"))
    _out, err = capsys.readouterr()
    assert err.count("first") == 1
    assert err.count("name") == 1
    assert safe(err)


def test_without_a_terminal_only_what_takes_long_is_told(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    Display(Terminal()).show(change(stage="quick"))
    monkeypatch.setattr(progress, "QUIET", 0.0)
    display = Display(Terminal())
    display.show(change(stage="slow"))
    display.show(change(stage="slow", progress=progress_of(1, 2)))
    _out, err = capsys.readouterr()
    assert err == "web: slow\n"


def test_how_far_an_import_is_is_shown_on_a_terminal_alone(capsys: Capture) -> None:
    terminal = Terminal()
    terminal.live = True
    with watched("web", terminal) as watch:
        assert watch is not None
        watch(Sent("files", 2 << 20, 2 << 20))
    _out, err = capsys.readouterr()
    assert f"web: importing the files  [{'#' * 24}] 2 MiB of 2 MiB  0" in err and err.endswith(CLEAR_LINE)
    terminal.live = False
    with watched("web", terminal) as watch:
        assert watch is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, ""),
        (progress_of(5 << 20), "  5 MiB"),
        (progress_of(1, 2, "items"), f"  [{'#' * 12}{'-' * 12}] 1 of 2"),
        (progress_of(9, 3, "items"), f"  [{'#' * 24}] 9 of 3"),
        (progress_of(-1, 3, "items"), f"  [{'-' * 24}] -1 of 3"),
        (progress_of(1, 0, "items"), "  1"),
    ],
)
def test_a_bar_stays_in_its_bounds(given: dict[str, object] | None, text: str) -> None:
    assert bar(given) == text


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        ([b"plain\r\n"], b"plain\n"),
        ([b"\x1b[1;32mok\x1b[0m"], b"\x1b[1;32mok\x1b[0m"),
        ([b"\x1b[1;", b"32m", b"ok"], b"\x1b[1;32mok"),
        ([b"\x1b", b"[2J"], b"\\x1b[2J"),
        ([b"\x1b]0;owned\x07"], b"\\x1b]0;owned\\x07"),
        ([b"na\xc3", b"\xafve"], "na\u00efve".encode()),
        ([b"\xff\x9b2J"], b"\\xff\\x9b2J"),
        (["\u202egnp".encode()], b"\\u202egnp"),
        ([b"\x1b[" + b"1" * 100 + b"m"], b"\\x1b[" + b"1" * 100 + b"m"),
    ],
)
def test_a_console_is_text_and_colours_only(pieces: list[bytes], shown: bytes) -> None:
    console = Filter(colour=True)
    assert b"".join(map(console.feed, pieces)) == shown


def test_a_console_without_colour_is_text_only() -> None:
    assert Filter(colour=False).feed(b"\x1b[31mred\x1b[0m") == b"red"
