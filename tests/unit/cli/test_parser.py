"""From words to values."""

import pytest

from banger import errors
from banger.cli import parser
from banger.cli.verb import Argument, Verb
from banger.cli.verbs.table import VERBS

RUN, EXEC, STOP, PULL = (
    next(verb for verb in VERBS if verb.path == path) for path in ("vm run", "vm exec", "vm stop", "image pull")
)


def test_reads_values_of_every_kind() -> None:
    words = ["--memory", "1G", "--vcpu=2", "--env", "A=1", "-e", "B=x=y", "--timeout", "5m", "--rm", "--", "ls", "-l"]
    found = parser.parse(RUN, words)
    assert (found.memory, found.vcpu, found.env) == (1 << 30, 2, {"A": "1", "B": "x=y"})
    assert (found.timeout, found.rm, found.detach, found.name) == (300.0, True, False, None)
    assert found.command == ["ls", "-l"]


@pytest.mark.parametrize(
    ("words", "own", "command"),
    [
        (["web", "ls", "-l"], ["web"], ["ls", "-l"]),
        (["web", "--", "ls", "--", "-l"], ["web"], ["ls", "--", "-l"]),
        (["-it", "web", "sh"], ["-it", "web"], ["sh"]),
        (["-e", "A=1", "web", "env"], ["-e", "A=1", "web"], ["env"]),
        (["-ie", "A=1", "web", "env"], ["-ie", "A=1", "web"], ["env"]),
        (["--env=A=1", "web", "env"], ["--env=A=1", "web"], ["env"]),
        (["-iw/srv", "web", "pwd"], ["-iw/srv", "web"], ["pwd"]),
        (["-i", "--", "web"], ["-i"], ["web"]),
        (["web", "-it", "bash", "-l"], ["web", "-it"], ["bash", "-l"]),
        (["web", "-w", "/srv", "--auto-prepare", "--", "-odd"], ["web", "-w", "/srv", "--auto-prepare"], ["-odd"]),
        (["web", "-w", "/srv"], ["web", "-w", "/srv"], []),
        ([], [], []),
    ],
)
def test_splits_a_guest_command_off(words: list[str], own: list[str], command: list[str]) -> None:
    assert parser.split(EXEC, words) == (own, command)


def test_help_of_a_guest_command_is_not_ours() -> None:
    assert not parser.asks_for_help(parser.split(EXEC, ["web", "ls", "--help"])[0])
    assert parser.asks_for_help(parser.split(EXEC, ["web", "--help"])[0])
    assert parser.asks_for_help(parser.split(EXEC, ["--help"])[0])


@pytest.mark.parametrize(
    ("verb", "words", "message"),
    [
        (RUN, ["--bad"], "unrecognized arguments: --bad"),
        (RUN, ["--mem", "1G"], "unrecognized arguments"),
        (RUN, ["--memory", "x"], "--memory: 'x' is not a size"),
        (RUN, ["--vcpu", "0"], "--vcpu: '0' is not a number above 0"),
        (RUN, ["--vcpu", "-1"], "--vcpu"),
        (RUN, ["--env", "A"], "--env: 'A' is not of the form K=V"),
        (RUN, ["--env", "=x"], "--env"),
        (RUN, ["--timeout", "soon"], "--timeout"),
        (RUN, ["--name"], "expected one argument"),
        (EXEC, [], "required"),
        (EXEC, ["web"], "say which command to run"),
        (STOP, [], "required"),
        (PULL, ["a", "b"], "unrecognized arguments: b"),
        (PULL, ["a", "--", "b"], "unrecognized arguments"),
    ],
)
def test_refuses_what_makes_no_sense(verb: Verb, words: list[str], message: str) -> None:
    with pytest.raises(errors.UsageError) as raised:
        parser.parse(verb, words)
    assert message in raised.value.message


def test_an_argument_spells_itself() -> None:
    argument = Argument("-e/--env", "help", kind="env", metavar="K=V")
    assert (argument.name, argument.usage, argument.takes_value) == ("env", "-e, --env K=V", True)
    assert Argument("VM", "help", many="several").usage == "VM..."


@pytest.mark.parametrize("words", [["--colour", "green", "x"], ["--colour=green", "x"], ["x", "green"]])
def test_only_what_is_to_be_chosen_from_can_be_chosen(words: list[str]) -> None:
    verb = Verb(
        "paint",
        "paint",
        arguments=(
            Argument("THING", "what"),
            Argument("COAT", "how", many="optional", choices=("red", "blue")),
            Argument("--colour", "how", metavar="COLOUR", choices=("red", "blue")),
        ),
    )
    found = parser.parse(verb, ["x", "blue", "--colour", "red"])
    assert (found.coat, found.colour) == ("blue", "red")
    with pytest.raises(errors.UsageError, match=r"invalid choice: 'green' \(choose from 'red', 'blue'\)"):
        parser.parse(verb, words)
