"""The shell texts of a build: a recipe's words stay words."""

import shlex

from banger.api.recipe import BuiltFile
from banger.builds import shell
from banger.builds.guest import ANSWER_LIMIT
from banger.builds.suite import command_title
from banger.builds.transcript import LOG_LIMIT, Transcript


def built(path: str, owner: str) -> BuiltFile:
    return BuiltFile(path=path, mode=0o4750, owner=owner, size=0, digest="")


def test_only_owners_that_are_names_are_left_to_the_image() -> None:
    text = shell.owners([built("/a", "root"), built("/b", "1:2"), built("/it's $(here)", "worker:users")])
    words = [shlex.split(line) for line in text.splitlines()]
    assert words == [
        ["chown", "--", "worker:users", "/it's $(here)"],
        ["chmod", "--", "4750", "/it's $(here)"],
    ]


def test_variables_are_quoted_and_commands_are_files() -> None:
    text = shell.suite_script([], 2, {"A": "it's $(reboot)"}, "token")
    assert "export A='it'\"'\"'s $(reboot)'" in text.splitlines()
    assert [line for line in text.splitlines() if line.startswith("echo token")] == [
        *("echo token files", "echo token 1", "echo token 2", "echo token done")
    ]
    assert "'" not in shell.SUITE_HOOK and "reboot" not in shell.SUITE_HOOK


def test_a_command_is_shown_on_one_line() -> None:
    assert command_title(2, ["a", "for x in y; do\n\techo $x\ndone"]) == "command 2 of 2: for x in y; do echo $x done"


class Told:
    operation = "1"

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notices: list[str] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def result(self, **values: int | str) -> None:
        raise AssertionError("a transcript has no result")

    def progress(self, progress: object) -> None: ...
    def record(self, **facts: object) -> None: ...


def test_output_is_kept_shown_and_quoted_whatever_its_pieces(tmp_path: object) -> None:
    transcript, told = Transcript(f"{tmp_path}/builds/a.log"), Told()
    transcript.begin()
    transcript.step(told, "first")
    transcript.feed(told, b"old\n")
    transcript.step(told, "command 1 of 1: make")
    for piece in (b"one\r", b"tw", b"o\n\x1b[31m\xff", b"\n", b"x" * 9000, b"\nlast"):
        transcript.feed(told, piece)
    transcript.quote(told)
    assert told.notices[:3] == ["| one", "| two", "| \\x1b[31m\\xff"] and told.notices[-1] == "| last"
    assert all(len(each) < 220 and each.isprintable() for each in told.stages + told.notices)
    with open(transcript.path, "rb") as file:
        assert file.read().startswith(b"\n== first\nold\n\n== command 1 of 1: make\none\rtwo\n")
    for _ in range(9):
        transcript.feed(told, b"y" * (LOG_LIMIT // 8))
    with open(transcript.path, "rb") as file:
        assert len(file.read()) == LOG_LIMIT > ANSWER_LIMIT


def test_the_oldest_logs_go(tmp_path: object) -> None:
    for number in range(60):
        Transcript(f"{tmp_path}/builds/{number}.log").begin()
    import os

    assert len(os.listdir(f"{tmp_path}/builds")) == 50
