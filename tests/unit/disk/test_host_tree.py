"""Whose files are whose in an image of a directory."""

import os

import pytest

from banger.disk import host_tree


@pytest.mark.parametrize(
    ("caller", "file", "kept"),
    [
        ((1000, 100), (1000, 100), (0, 0)),
        ((1000, 100), (1000, 5), (0, 5)),
        ((1000, 100), (33, 100), (33, 0)),
        ((1000, 100), (100, 1000), (100, 1000)),
        ((0, 0), (1000, 100), (1000, 100)),
        ((0, 0), (0, 0), (0, 0)),
    ],
)
def test_the_callers_own_become_roots_and_others_stay(
    monkeypatch: pytest.MonkeyPatch, caller: tuple[int, int], file: tuple[int, int], kept: tuple[int, int]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: caller[0])
    monkeypatch.setattr(os, "getegid", lambda: caller[1])
    assert host_tree.callers_as_root()(*file) == kept
    assert host_tree.as_root(*file) == (0, 0)
