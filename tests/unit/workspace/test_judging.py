"""The list of files that somebody acts on unasked, and the page that tells of it."""

import re
from pathlib import Path

import pytest

from banger.workspace.judging import RUN, acts, fault

PAGE = Path(__file__).resolve().parents[3] / "docs/howto/take-changes-back.md"


def test_the_page_has_the_list() -> None:
    rows = re.findall(r"^\| (`.*) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    told = {(name, who) for names, who in rows for name in re.findall(r"`([^`]*)`", names)}
    assert told == set(RUN)


@pytest.mark.parametrize(("name", "who"), RUN)
def test_each_is_found_wherever_it_is(name: str, who: str) -> None:
    path = name + ("x" if name.endswith("/") else "")
    for found in (path, f"a/b/{path}", path.upper()):
        assert acts(found.encode()) == who
    assert acts(f"a{path}".encode()) is None
    assert acts(f"{path}~".encode()) is (who if name.endswith("/") else None)


@pytest.mark.parametrize("path", ["a", "a b", "...", "a/..b/c", ".gitignore", "-", "x\x1by", "con", "a:b"])
def test_names_that_repositories_have(path: str) -> None:
    assert fault(path.encode()) is None
