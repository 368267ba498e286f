"""The verb table: rows that fit together, and the modules that stand behind them."""

import importlib
import inspect
from pathlib import Path

import pytest

import banger.cli
from banger.cli import help, reference
from banger.cli.verb import Group, Verb
from banger.cli.verbs import find
from banger.cli.verbs.table import GROUPS, VERBS

by_path = pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.path)


@by_path
def test_a_verb_has_a_module_with_run(verb: Verb) -> None:
    assert list(inspect.signature(importlib.import_module(verb.module).run).parameters) == ["arguments", "terminal"]


def test_a_module_has_a_verb() -> None:
    modules = {path.stem for path in Path(banger.cli.__path__[0]).glob("cmd_*.py")}
    assert modules == {verb.module.rpartition(".")[2] for verb in VERBS}


def test_no_name_means_two_verbs() -> None:
    names = [name for verb in VERBS for name in (verb.path, *verb.aliases)] + [group.name for group in GROUPS]
    assert len(names) == len(set(names))


@by_path
def test_every_name_of_a_verb_finds_it(verb: Verb) -> None:
    for name in (verb.path, *verb.aliases):
        words = [*name.split(), "x"]
        assert find(words) == (verb, len(words) - 1)


@by_path
def test_no_option_is_spelt_twice(verb: Verb) -> None:
    flags = [flag for each in verb.options for flag in each.flags]
    names = [each.name for each in verb.arguments]
    assert len(flags) == len(set(flags))
    assert len(names) == len(set(names))
    assert not {"-h", "--help"} & set(flags)
    assert all(each.metavar for each in verb.arguments if each.positional or each.takes_value)


@by_path
def test_a_verb_explains_itself(verb: Verb) -> None:
    if verb.hidden:
        return
    page = help.of_verb(verb)
    assert verb.examples
    assert all(flag in page for each in verb.options for flag in each.flags)
    assert verb.summary[0].islower()
    assert not verb.summary.endswith(".")


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_a_group_page_shows_every_verb(group: Group) -> None:
    page = help.of_group(group)
    assert group.examples
    assert all(verb.path in page for verb in group.verbs)


def test_a_hidden_group_explains_itself_when_asked() -> None:
    found, length = find(["internal"])
    assert isinstance(found, Group) and length == 1
    page = help.of_group(found)
    assert "internal make-bundle" in page and "internal make-kernel-bundle" in page
    assert "internal" not in help.overall()


def test_help_pages_fit_a_line() -> None:
    pages = [help.overall(), *map(help.of_group, GROUPS), *map(help.of_verb, VERBS)]
    assert max(len(line) for page in pages for line in page.splitlines()) <= 120


def test_the_reference_explains_every_verb() -> None:
    page = reference.command_line()
    assert all(f"### banger {verb.path}\n" in page for verb in VERBS if not verb.hidden)
    assert "internal" not in page
