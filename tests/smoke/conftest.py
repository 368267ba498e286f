"""Fixtures of the scenarios: the session's box, the check of what each leaves behind, one more try, and the report.

The emulator errs now and then: a nested guest hangs, or the whole box does. So a scenario that fails is run once more
on a fresh box, and the report says so; one that fails twice has failed. There are no limits on how long things take
but those that end what hangs.
"""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from tests.conftest import TOLD
from tests.smoke.host import stages
from tests.smoke.host.box import BARE, Host, Stage, running
from tests.smoke.host.evidence import evidence, keep

SCENARIO_SECONDS = 600
MOST_RETRIES = 3
"""In one box's session; more failures than that are no accident."""

HERE = Path(__file__).parent
_told: list[str] = []
_retried: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.smoke)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(SCENARIO_SECONDS, func_only=True))


@pytest.fixture(scope="session")
def session_host() -> Iterator[Host]:
    """The box of this session."""
    with running(_told.append) as host:
        yield host


@pytest.fixture
def host(session_host: Host) -> Iterator[Host]:
    """The bare box, for one scenario."""
    yield from _scenario(session_host, BARE)


@pytest.fixture
def installed(session_host: Host) -> Iterator[Host]:
    """The box with banger as a service of `OWNER`'s."""
    yield from _scenario(session_host, stages.INSTALLED)


@pytest.fixture
def stocked(session_host: Host) -> Iterator[Host]:
    """The same, with the default kernel and the image ``busybox``."""
    yield from _scenario(session_host, stages.STOCKED)


@pytest.fixture
def serving(session_host: Host) -> Iterator[Host]:
    """The same, with the machine ``one`` running."""
    yield from _scenario(session_host, stages.SERVING)


@pytest.fixture
def mortal(session_host: Host) -> Iterator[Host]:
    """The box with kernel and image, and with a daemon that can meet its end."""
    yield from _scenario(session_host, stages.MORTAL)


def _scenario(host: Host, stage: Stage) -> Iterator[Host]:
    """A box at a stage: what is not as it was in the end fails the scenario, and the next one gets the stage anew."""
    host.enter(stage)
    yield host
    if host.lost or not host.alive:
        return
    changed = host.changes()
    if changed:
        host.fresh()
    assert not changed, "the box is not as it was: " + "; ".join(changed[:40])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    host = getattr(item, "funcargs", {}).get("session_host")
    if report.failed and isinstance(host, Host):
        report.sections += evidence(host)
        if kept := os.environ.get("BANGER_SMOKE_KEEP"):
            keep(host, Path(kept) / item.name)
    if report.when == "teardown":
        report.user_properties += [(TOLD, f"smoke: {text}") for text in _told]
        _told.clear()
    return report


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a scenario, and once more on a fresh box if it failed."""
    if not item.path.is_relative_to(HERE) or "session_host" not in getattr(item, "fixturenames", ()):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    failed = [report for report in reports if report.failed]
    if failed and len(_retried) < MOST_RETRIES:
        said = str(failed[0].longrepr).strip().rpartition("\n")[2]
        _retried.append(item.name)
        _told.append(f"{item.name} failed once ({failed[0].when}: {said[:300]}) and was run again")
        item.session._setupstate.teardown_exact(None)
        item._initrequest()  # type: ignore[attr-defined]
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
