"""What there is to die in has its place in the matrix: a kind or a task without one fails here."""

from collections.abc import Callable

import pytest

from banger.engine.change import Kind, Recovery
from tests.matrix import instants, listing
from tests.matrix.instants import Instant, Planned
from tests.matrix.scenarios import all_scenarios
from tests.smoke import moments


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    return listing.kinds(tmp_path_factory.mktemp("listing"))


def test_every_kind_that_a_daemon_registers_has_a_scenario(known: dict[str, Kind]) -> None:
    assert set(known) == {each.kind for each in all_scenarios()}


def test_every_kind_is_played_on_a_host_too(known: dict[str, Kind]) -> None:
    assert set(known) == {each.kind for each in moments.scenarios()}
    cuts = moments.of_cuts(30)
    assert len(set(map(str, cuts))) == 30
    assert {each.scenario for each in cuts} == {each.name for each in moments.scenarios()}


def test_every_task_of_the_product_is_planned_by_some_scenario(known: dict[str, Kind]) -> None:
    planned = listing.planned(known)
    missing = [each for each in listing.task_classes() if not any(issubclass(found, each) for found in planned)]
    assert not missing, f"without a place in the matrix: {sorted(each.__qualname__ for each in missing)}"


def test_scenarios_that_only_go_forward_are_those_that_are_resumed(known: dict[str, Kind]) -> None:
    for each in all_scenarios():
        assert each.onward == (known[each.kind].recovery is Recovery.RESUME), each.name


def test_a_moment_that_two_boundaries_name_is_met_once() -> None:
    tasks = [Planned("a"), Planned("b", process=True)]
    assert len(instants.boundaries(tasks)) == 2 * 2 * 4 + 1
    assert [str(each) for each in instants.distinct(tasks)] == [
        "do a: before", "do a: doing", "do a: acted", "do b: doing", "do b: made", "do b: acted", "do b: done",
        "undo b: before", "undo b: doing", "undo b: acted", "undo a: doing", "undo a: acted", "undo a: done",
    ]  # fmt: skip
    assert set(instants.distinct(tasks)) < set(instants.boundaries(tasks))
    assert Instant("undo", "b", "made") not in instants.boundaries(tasks)


def test_the_count_is_told(known: dict[str, Kind], record_property: Callable[[str, object], None]) -> None:
    scenarios = [(each, listing.tasks(known, each)) for each in all_scenarios()]
    boundaries = sum(len(instants.boundaries(tasks)) for _, tasks in scenarios)
    moments = sum(len(instants.distinct(tasks)) for _, tasks in scenarios)
    for what, count in (
        ("kinds", len(known)), ("scenarios", len(scenarios)), ("boundaries", boundaries), ("moments", moments),
    ):  # fmt: skip
        record_property(f"matrix {what}", count)
    assert boundaries > moments > 0
