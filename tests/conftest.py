"""What every test shares: the guard, the leak check, an installation of its own, and what is shown on failure.

A skip counts as a failure: a test that did not run has proven nothing. Tests mark themselves ``qemu`` when they boot
a guest and ``root`` when they need root; `scripts/suite.py` runs the groups.
"""

import itertools
import json
import os
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import guard, leaks
from tests.home import Home, make_home, passable

settings.register_profile("banger", deadline=None, print_blob=True)  # no test may depend on the machine's speed
settings.load_profile("banger")

GUARDED = ("unit", "property")
"""Directories whose tests may not reach outside the process."""

CHECKED = ("integration", "conformance", "security", "matrix")
"""Directories whose tests are checked for what they leave behind."""

TOLD = "told"
"""The property of a report that takes a line to the terminal, from whichever worker."""

HERE = Path(__file__).parent


def room(item: pytest.Item | pytest.FixtureRequest) -> str:
    """The directory of tests/ that a test lives in."""
    path = item.path.relative_to(HERE)
    return path.parts[0]


# -- a skip is a failure ----------------------------------------------------------------------------------------------


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason} (a skip is a failure: a test that did not run has proven nothing)"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    home = getattr(item, "funcargs", {}).get("home")
    if report.failed and isinstance(home, Home):
        report.sections += home.evidence()
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave the counts where the suite finds them; with xdist only the controller has a terminal."""
    tally = os.environ.get("BANGER_TEST_TALLY")
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if tally and reporter is not None and not hasattr(session.config, "workerinput"):
        counts = Counter({name: len(reports) for name, reports in reporter.stats.items() if name})
        failed = counts["failed"] + counts["error"]
        Path(tally).write_text(json.dumps({"passed": counts["passed"] + counts["xfailed"], "failed": failed}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have to tell and the counts of the crash matrix, wherever they ran."""
    told: dict[str, object] = {}
    counts: Counter[str] = Counter()
    for report in itertools.chain.from_iterable(terminalreporter.stats.values()):
        for name, value in getattr(report, "user_properties", ()):
            if name == TOLD:
                terminalreporter.write_line(value)
            elif name.startswith("matrix ") and report.when == "call":  # the teardown's report has it again
                counts[name] += value if isinstance(value, int) else 0
                told[name] = counts[name] if isinstance(value, int) else value
    if told:
        words = ", ".join(f"{value} {name.removeprefix('matrix ')}" for name, value in told.items())
        terminalreporter.write_line(f"crash matrix: {words}")


# -- every test -------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def stay_inside(request: pytest.FixtureRequest) -> Iterator[None]:
    """Unit and property tests reach neither programs nor the network."""
    if room(request) not in GUARDED:
        yield
        return
    with guard.guarded():
        yield


@pytest.fixture(autouse=True)
def leave_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a process, a mount, a loop device or a network link behind."""
    if room(request) not in CHECKED:
        yield
        return
    leaks.adopt_orphans()
    before = leaks.resources()
    yield
    left = leaks.new_since(before)
    leaks.end_new_processes(before)
    assert not left, "the test left behind: " + "; ".join(left)


# -- an installation of one's own -------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An empty installation: directories of its own, a runtime directory with a short name, no daemon yet.

    At the end its daemon is stopped, and nothing may be left in the staging and runtime directories.
    """
    with passable(tmp_path) as directory, make_home(directory) as made:
        yield made


@pytest.fixture
def stocked(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """An installation that has the default kernel and the default image, made once for all tests of a machine."""
    from tests.stock import give

    give(home)
    return home
