"""What an import does about each name, for every state of the three sides."""

import itertools

import pytest

from banger.workspace import plan
from banger.workspace.listing import Entry, Listing
from banger.workspace.plan import Plan

SECOND = 1_000_000_000
OLD, NEW, THEIRS = (
    Entry(0o100644, 1, 1 * SECOND + 5),
    Entry(0o100644, 2, 2 * SECOND),
    Entry(0o100644, 3, 3 * SECOND + 7),
)
HALF = Entry(0o100600, 1, 9 * SECOND + 1)
DIRECTORY = Entry(0o040755, 4096, 1)


def arrived(entry: Entry | None) -> Entry | None:
    """What a name is in the machine after it was sent."""
    return entry and entry._replace(mtime_ns=entry.mtime_ns // SECOND * SECOND)


def make(new: Listing, bases: list[Listing], there: dict[bytes, Entry | None], broken: bool = False) -> Plan:
    return plan.make(new, bases, broken, lambda names: [there.get(name) for name in names], lambda name, state: False)


def listing(entry: Entry | None) -> Listing:
    return {} if entry is None else {b"f": entry}


@pytest.mark.parametrize(
    ("base", "new", "there"),
    [each for each in itertools.product((None, OLD), (None, OLD, NEW), (None, OLD, NEW, THEIRS)) if each[0] or each[1]],
)
def test_nothing_of_the_machines_is_lost(base: Entry | None, new: Entry | None, there: Entry | None) -> None:
    made = make(listing(new), [listing(base)], {b"f": arrived(there) if there is not THEIRS else there})
    if base == new:
        assert made == Plan([], [], [], [])
    elif there == base or (there is None and new is None):
        assert made.conflicts == []
        assert made.send == ([b"f"] if new else []) and made.remove == ([b"f"] if not new and there else [])
    else:
        assert made.conflicts == [b"f"]


@pytest.mark.parametrize("there", [None, OLD, NEW, HALF, Entry(0o100644, 0, 5)])
def test_after_a_break_either_state_and_a_part_are_mended(there: Entry | None) -> None:
    made = make(listing(NEW), [listing(OLD), listing(NEW)], {b"f": arrived(there)}, broken=True)
    assert made.conflicts == [] and made.send == [b"f"]


def test_after_a_break_an_edit_is_a_conflict_where_this_host_has_changed_it_too() -> None:
    assert make(listing(NEW), [listing(OLD), listing(NEW)], {b"f": THEIRS}, broken=True).conflicts == [b"f"]
    made = make(listing(OLD), [listing(OLD), listing(OLD)], {b"f": THEIRS}, broken=True)
    assert made == Plan([], [], [], [])


def test_directories_go_with_their_last_file_innermost_first() -> None:
    names = {b"a/b/c/f": OLD, b"a/g": OLD, b"d/e": OLD}
    there = {name: arrived(entry) for name, entry in names.items()}
    there |= {b"a": DIRECTORY, b"a/b": DIRECTORY, b"a/b/c": DIRECTORY, b"d": DIRECTORY}
    made = make({b"a/g": OLD}, [names], there)
    assert made.remove == [b"a/b/c/f", b"d/e", b"d", b"a/b/c", b"a/b"]


def test_a_link_on_the_way_is_a_conflict_and_all_behind_it_is_sent_when_it_is_overwritten() -> None:
    base = {b"d/a": OLD, b"d/b": OLD}
    made = make({b"d/a": NEW, b"d/b": OLD}, [base], {b"d": Entry(0o120777, 3, 1), b"d/a": arrived(OLD)})
    assert made.conflicts == [b"d"] and made.remove[0] == b"d" and made.send == [b"d/a", b"d/b"]


def test_a_directory_of_theirs_is_in_the_way_and_one_that_becomes_empty_is_not() -> None:
    assert make(listing(NEW), [listing(OLD)], {b"f": DIRECTORY}).stuck == [b"f"]
    made = make({b"d": NEW}, [{b"d/f": OLD}], {b"d": DIRECTORY, b"d/f": arrived(OLD)})
    assert made == Plan([b"d"], [b"d/f", b"d"], [], [])


def test_what_is_not_known_yet_is_all_looked_at() -> None:
    made = make(listing(NEW), [], {b"f": None})
    assert made.send == [b"f"] and made.conflicts == []
    assert make(listing(NEW), [], {b"f": THEIRS}).conflicts == [b"f"]
