"""``banger ssh``: which words reach the host's ssh, and as what."""

import shlex

import pytest

from banger import errors
from banger.cli import parser
from banger.cli.cmd_vm_ssh import arguments_of, quoted
from banger.cli.verb import Verb
from banger.cli.verbs import find


def words(*typed: str) -> list[str]:
    verb, _ = find(["ssh", *typed])
    assert isinstance(verb, Verb) and verb.path == "vm ssh"
    arguments = parser.parse(verb, typed)
    return arguments_of(f"{arguments.vm}.vm", arguments.command)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["web"], ["web.vm"]),
        (["me@web", "-v", "-L", "80:localhost:80"], ["me@web.vm", "-v", "-L", "80:localhost:80"]),
        (["web", "uptime", "-p"], ["web.vm", "uptime", "-p"]),
        (["web", "--", "uptime", "-p"], ["web.vm", "--", "uptime -p"]),
        (["web", "-t", "--", "sh", "-c", "exit 42"], ["web.vm", "-t", "--", "sh -c 'exit 42'"]),
        (["web", "--", "echo", "--", "it's", ""], ["web.vm", "--", "echo -- 'it'\"'\"'s' ''"]),
        (["web", "--"], ["web.vm"]),
    ],
)
def test_options_are_sshs_and_a_command_stays_one(typed: list[str], expected: list[str]) -> None:
    assert words(*typed) == expected


def test_who_writes_an_option_first_is_told_where_it_belongs() -> None:
    with pytest.raises(errors.UsageError, match=r"unrecognized arguments: -v; .* follow the name"):
        words("-v", "web")


@pytest.mark.parametrize("word", ["", "plain", "a b", "it's", "$HOME", "*", "a\nb", "é", "~", "-n", "a;b", "''"])
def test_a_quoted_word_is_that_word_again(word: str) -> None:
    assert shlex.split(quoted(word)) == [word]
