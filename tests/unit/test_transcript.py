"""Transcripts are read and compared as their docstring says."""

from pathlib import Path

import pytest

from tests.transcript import Step, steps


def test_reads_commands_and_what_they_print(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n```console\n$ first  # a remark\none\ntwo\n$ second\n```\n```sh\n$ not this\n```\n")
    assert steps(page) == [Step("first", "one\ntwo\n"), Step("second", "")]


@pytest.mark.parametrize(
    ("expected", "output"),
    [
        ("one\n", "one\n"),
        ("one\n", "one"),
        ("", ""),
        ("...\n", ""),
        ("...\n", "any\nnumber\n"),
        ("...\nlast\n", "some\nlast\n"),
        ("a...z\n", "abcz\n"),
        ("...web...running...\n", "12 web x running 3\n"),
        ("a.c\n", "a.c\n"),
    ],
)
def test_matches(expected: str, output: str) -> None:
    assert Step("command", expected).matches(output)


@pytest.mark.parametrize(
    ("expected", "output"), [("one\n", "two\n"), ("one\n", "one\ntwo\n"), ("", "one\n"), ("a.c\n", "abc\n")]
)
def test_does_not_match(expected: str, output: str) -> None:
    assert not Step("command", expected).matches(output)
