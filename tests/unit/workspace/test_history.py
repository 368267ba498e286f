"""Which commits are cut where two windows onto one history meet."""

from banger.workspace.history import Window, joined


def window(commits: str, shallow: str) -> Window:
    return Window(frozenset(commits), frozenset(shallow))


def test_a_commit_is_cut_only_where_neither_has_its_parents() -> None:
    assert joined(window("abc", "a"), window("cde", "c")) == {"a"}
    assert joined(window("abc", "a"), window("xyz", "x")) == {"a", "x"}
    assert joined(window("abc", ""), window("cde", "c")) == frozenset()
    assert joined(window("abc", "a"), window("abc", "a")) == {"a"}
