"""What may follow on a command line."""

from collections.abc import Sequence

import pytest

from banger.cli.suggest import suggestions

EXISTING = {
    "session web": ["server", "tests"],
    "vm": ["web", "db"],
    "image": ["debian-bookworm"],
    "kernel": ["debian-cloud"],
}


def names(kind: str) -> Sequence[str]:
    return EXISTING[kind]


def words(*typed: str) -> list[str]:
    return [word for word, _ in suggestions(typed, names)]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["ru"], ["run"]),
        (["imag"], ["image"]),
        (["vm", "re"], ["restart"]),
        (["help", "vm", "sta"], ["start", "stats"]),
        (["vm", "ses"], ["session"]),
        (["vm", "session", "l"], ["list", "logs"]),
        (["vm", "session", "logs", ""], ["web", "db"]),
        (["vm", "session", "logs", "--tail", "5", "-f", "web", ""], ["server", "tests"]),
        (["vm", "session", "logs", "--stream", "std"], ["stdout", "stderr"]),
        (["vm", "session", "send", "web", "server", ""], []),
        (["vm", "workspace", ""], ["prepare", "export", "diff"]),
        (["vm", "session", "start", "web", ""], []),
        (["rm", ""], ["web", "db"]),
        (["rm", "web", "d"], ["db"]),
        (["vm", "show", "web", ""], []),
        (["run", "--image", ""], ["debian-bookworm"]),
        (["run", "--name", ""], []),
        (["run", "--image=deb"], ["--image=debian-bookworm"]),
        (["run", "--name=w"], []),
        (["image", "import", "--dir=x"], [":files"]),
        (["internal", "make-bundle", "--arch", "ar"], ["arm64"]),
        (["internal", "make-bundle", "--arch=ar"], ["--arch=arm64"]),
        (["run", "--kernel", "deb"], ["debian-cloud"]),
        (["run", "--rm", "--rm"], []),
        (["run", "--mem"], ["--memory"]),
        (["run", "--", "l"], []),
        (["exec", "w"], ["web"]),
        (["exec", "-e", "w", "w"], ["web"]),
        (["exec", "web", ""], []),
        (["exec", "web", "--aut"], ["--auto-prepare"]),
        (["exec", "web", "ls", "--"], []),
        (["ssh", "web", "--"], []),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["cp", "w"], [":files", "web:"]),
        (["cp", "./w"], [":files"]),
        (["image", "import", ""], [":files"]),
        (["nonsense", ""], []),
        (["vm", "nonsense", ""], []),
    ],
)
def test_suggests(typed: list[str], expected: list[str]) -> None:
    assert words(*typed) == expected


def test_first_words_are_verbs_and_groups_but_nothing_hidden() -> None:
    found = words("")
    assert {"run", "vm", "doctor", "help", "ps"} <= set(found)
    assert "internal" not in found
    assert len(found) == len(set(found))


def test_a_repeatable_option_is_suggested_again() -> None:
    assert "--env" in words("run", "--env", "A=1", "--e")
