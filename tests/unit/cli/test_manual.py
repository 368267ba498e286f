"""Manual pages: there is one for everything, it says what help says, and roff takes its words as words."""

import re

import pytest

from banger.cli import help, manual, roff, share
from banger.cli.verb import Verb
from banger.cli.verbs.table import GROUPS, VERBS
from banger.config.profile import WORKSPACE
from banger.config.settings import SETTINGS

PAGES = manual.pages()
SHOWN = [verb for verb in VERBS if not verb.hidden]


def plain(page: str) -> str:
    """A page without its markup, on one line."""
    text = re.sub(r"^\.(?:TP|PP|EX|EE|br|nh|ad l|SH.*|TH.*)\n", "", page, flags=re.MULTILINE)
    text = re.sub(r"\\f[BIRP]|\\&", "", text)
    for mark, letter in {r"\(aq": "'", r"\(ga": "`", r"\(ha": "^", r"\(ti": "~", r"\-": "-", r"\e": "\\"}.items():
        text = text.replace(mark, letter)
    return " ".join(text.split())


def words(text: str) -> str:
    """What a paragraph is without the marks of what is typed."""
    return " ".join(re.sub(r"'((?:sudo )?banger [^']+)'|`([^`]+)`", r"\1\2", text).split())


def test_every_group_and_verb_has_a_page_and_nothing_hidden_has() -> None:
    names = {f"banger-{verb.path.replace(' ', '-')}" for verb in SHOWN}
    names |= {f"banger-{alias.replace(' ', '-')}" for verb in SHOWN for alias in verb.aliases}
    names |= {f"banger-{group.name.replace(' ', '-')}" for group in GROUPS if not group.hidden} | {"banger"}
    assert {f"man1/{name}.1" for name in names} | {"man5/banger-config.5"} == set(PAGES)
    assert "internal" not in "".join(PAGES.values())


@pytest.mark.parametrize("verb", SHOWN, ids=lambda verb: verb.path)
def test_a_page_says_what_help_says(verb: Verb) -> None:
    page = plain(PAGES[f"man1/banger-{verb.path.replace(' ', '-')}.1"])
    for text in filter(None, (*verb.description.split("\n\n"), *map(help.explained, verb.arguments))):
        assert words(text)[1:] in page
    for line in verb.examples:
        assert " ".join(line.split()) in page
    assert all(flag in page for each in verb.options for flag in each.flags)
    assert all(f"banger {alias}" in page for alias in verb.aliases)


def test_a_shorter_name_leads_to_the_page() -> None:
    assert PAGES["man1/banger-run.1"] == ".so man1/banger-vm-run.1\n"
    assert all(text.split()[1] in PAGES for text in PAGES.values() if text.startswith(".so "))


def test_the_page_of_the_settings_has_each() -> None:
    page = plain(PAGES["man5/banger-config.5"])
    for setting in SETTINGS:
        assert f"{'' if setting.head else setting.name} {words(setting.help)}" in page
        assert all(f"{key.name} {words(key.help)} {words(help.sentence(key.kind))}" in page for key in setting.keys)


def test_the_page_of_the_settings_tells_of_a_repository_s_own() -> None:
    page = plain(PAGES["man5/banger-config.5"])
    assert "What lies at the top of a git repository by this name" in page
    assert f"{WORKSPACE.name} {words(WORKSPACE.help)} True or false." in page
    assert ".banger.toml At the top of a repository:" in plain(PAGES["man1/banger.1"])


@pytest.mark.parametrize("name", PAGES)
def test_references_between_pages_lead_somewhere(name: str) -> None:
    for page, section in re.findall(r"\\fB([\w\\-]+)\\fP\((\d)\)", PAGES[name]):
        assert f"man{section}/{page.replace(chr(92), '')}.{section}" in PAGES


def test_prose_stays_prose() -> None:
    typed = ".so long\\n, 'banger run --rm', don't --force `a-b` co-op\n\nNext."
    assert " ".join(roff.prose(typed)) == (
        r"\&.so long\en, \fBbanger run \-\-rm\fP, don\(aqt \fB\-\-force\fP \fBa\-b\fP co-op .PP Next."
    )
    assert roff.code([".x 'y' \\z"]) == [".EX", r"\&.x \(aqy\(aq \ez", ".EE"]
    assert roff.quoted('say "it"') == r'"say \(dqit\(dq"'


def test_each_shell_finds_its_completion_where_it_looks() -> None:
    found = share.files()
    assert found["zsh/site-functions/_banger"].startswith("#compdef banger\n")
    assert {name.partition("/")[0] for name in found} == {"man", "bash-completion", "zsh", "fish"}
