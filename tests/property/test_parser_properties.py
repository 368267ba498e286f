"""The command line's parser against argparse, of which it is the part that the verb table needs.

argparse is set up from the same rows. Both take the same lines and find the same values in them; but an option between
arguments that may be several, or left out, is a line that argparse gives up and ours takes, so there is none here.
"""

import argparse
from itertools import chain
from typing import NoReturn

from hypothesis import given
from hypothesis import strategies as st

from banger import errors
from banger.cli import parser
from banger.cli.verb import Argument, Verb
from banger.cli.verbs.table import VERBS


class Refused(Exception):
    """argparse does not take a line."""


class _Oracle(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused(message)


def oracle(verb: Verb) -> argparse.ArgumentParser:
    made = _Oracle(add_help=False, allow_abbrev=False)
    for each in verb.arguments:
        if each.positional:
            count = {"one": None, "optional": "?", "several": "+", "any": "*"}[each.many]
            made.add_argument(each.name, metavar=each.metavar, nargs=count, choices=each.choices or None)
        elif each.kind == "flag":
            made.add_argument(*each.flags, dest=each.name, action="store_true")
        else:
            many = each.kind in ("env", "list")
            made.add_argument(
                *each.flags,
                dest=each.name,
                action="append" if many else "store",
                default=[] if many else None,
                required=each.required,
            )
    return made


GOOD = {"text": "x", "size": "512M", "duration": "5m", "count": "3", "env": "K=V", "list": "y"}


@st.composite
def spelt(draw: st.DrawFn, option: Argument) -> list[str]:
    """One use of an option, in one of the ways to write it."""
    flag = draw(st.sampled_from(option.flags))
    if option.kind == "flag":
        return [flag]
    value = draw(st.sampled_from([GOOD[option.kind], GOOD[option.kind], "a b", "-1"]))
    if not flag.startswith("--"):
        return draw(st.sampled_from([[flag, value], [flag + value], [f"{flag}={value}"]]))
    return draw(st.sampled_from([[flag, value], [f"{flag}={value}"]]))


@st.composite
def lines(draw: st.DrawFn) -> tuple[Verb, list[str]]:
    """A verb and words for it: options, then positional arguments, then options; now and then one that is wrong."""
    verb = draw(st.sampled_from([each for each in VERBS if each.command != "required"]))
    options = st.lists(st.sampled_from(verb.options).flatmap(spelt), max_size=3) if verb.options else st.just([])
    clusters = [flag for each in verb.options for flag in each.flags if len(flag) == 2]
    count = draw(st.integers(0, len(verb.positionals) + 1))
    positional = draw(st.lists(st.sampled_from(["web", "bash", "-", "-1", "a b", "ü"]), min_size=count, max_size=count))
    after = draw(options) if all(each.many == "one" for each in verb.positionals) else []
    words = [*chain.from_iterable(draw(options)), *positional, *chain.from_iterable(after)]
    if len(clusters) > 1 and draw(st.booleans()):
        words.insert(0, "-" + "".join(flag[1] for flag in draw(st.permutations(clusters))))
    if draw(st.integers(0, 5)) == 0:
        wrong = st.sampled_from(
            ["--bad", "--bad=x", "-Z", "--json=1", *[flag for each in verb.options for flag in each.flags]]
        )
        words.insert(draw(st.sampled_from([0, len(words)])), draw(wrong))
    return verb, words


@given(lines())
def test_reads_what_argparse_reads(line: tuple[Verb, list[str]]) -> None:
    verb, words = line
    try:
        expected = vars(oracle(verb).parse_args(words))
    except Refused:
        expected = None
    try:
        found = parser._Reader(verb, words).read()
    except errors.UsageError:
        found = None
    assert found == expected
