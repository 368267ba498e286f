"""Documents say what is true: generated pages are fresh, links lead somewhere, forms are kept."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from scripts import docs

TREE = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [*TREE.glob("*.md"), *TREE.glob("docs/**/*.md"), *TREE.glob("*/README.md"), *TREE.glob("tests/*/*.md")]
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def named(path: Path) -> str:
    return str(path.relative_to(TREE))


def anchors(path: Path) -> set[str]:
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in HEADING.findall(path.read_text())}


@pytest.mark.parametrize("name", docs.PAGES)
def test_generated_page_is_fresh(name: str) -> None:
    assert (docs.REFERENCE / name).read_text() == docs.PAGES[name](), "stale: run 'make docs'"


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target in LINK.findall(text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        found = (path.parent / name).resolve() if name else path
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_no_merge_is_half_done(path: Path) -> None:
    assert not re.search(r"^(<{7}|={7}|>{7})( |$)", path.read_text(), re.MULTILINE)


def test_every_page_is_in_the_index() -> None:
    index = (TREE / "docs" / "README.md").read_text()
    listed = set(LINK.findall(index))
    pages = {str(path.relative_to(TREE / "docs")) for path in TREE.glob("docs/*/*.*")}
    assert pages == listed


def test_every_attack_is_in_the_table() -> None:
    """What is shown of attacks: each module is named, and each name of one leads somewhere."""
    place = TREE / "tests" / "security"
    named = set(re.findall(r"`((?:[a-z]+/)*(?:test|helper)_\w+)`", (place / "README.md").read_text()))
    assert {path.stem for path in place.glob("test_*.py")} <= named
    for each in named:
        found = [(top / each).with_suffix(".py") for top in (place, place.parent)]
        assert any(path.exists() for path in found), each


def test_changelog_form() -> None:
    """Keep a Changelog 1.1: Unreleased first, then versions with dates, newest first; known kinds of change."""
    text = (TREE / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog\n")
    releases = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert releases[0] == "[Unreleased]"
    dates = []
    for release in releases[1:]:
        match = re.fullmatch(r"\[\d+\.\d+\.\d+\] - (\d{4}-\d{2}-\d{2})", release)
        assert match, release
        dates.append(match[1])
    assert dates == sorted(dates, reverse=True)
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_figures_name_their_bench() -> None:
    """Every promise names a bench that exists, and every bench measures a promise."""
    promised = set(re.findall(r"make bench BENCH=([a-z_]+)", (TREE / "SPECIFICATION.md").read_text()))
    there = {path.stem for path in (TREE / "bench").glob("bench_*.py")}
    assert {f"bench_{name}" for name in promised} == there


def test_make_help_names_every_target() -> None:
    makefile = (TREE / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    shown = subprocess.run(["make", "-C", str(TREE)], capture_output=True, text=True, check=True).stdout
    assert targets == set(re.findall(r"^  make (\w+)", shown, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    assert targets == set(phony[1].split())


def test_lock_has_every_dependency() -> None:
    """What pyproject.toml asks for is in the lock, by hash; 'make lock' resolves it again."""
    asked = tomllib.loads((TREE / "pyproject.toml").read_text())
    groups = asked["dependency-groups"]
    wanted = [*asked["project"]["dependencies"], *(each for group in groups.values() for each in group)]
    lock = (TREE / "requirements.lock").read_text()
    locked = set(re.findall(r"^([a-z0-9.-]+)==[^\n]*\\\n    --hash=sha256:", lock, re.MULTILINE))
    assert {re.split(r"[<>=;~! ]", each)[0].replace(".", "-").lower() for each in wanted} <= locked
    assert "http" not in lock, "the lock names no place to download from"
