"""The units as systemd itself reads them, without a systemd that runs them."""

import re
import subprocess
from pathlib import Path

import pytest

from banger.system import units
from banger.system.record import Record

RECORD = Record(owner_uid=1, owner_gid=1, owner="daemon", home="/usr/sbin", version="1", installed_at="today")

EXPOSURE = {units.DAEMON_SERVICE: 2.6, units.HELPER_SERVICE: 4.3, units.MACHINES: 1.3, units.SHUTDOWN: 1.6}
"""What `systemd-analyze security` may give each unit at most; the page on privileges states them."""

SLACK = 0.5
"""Other versions of systemd than Debian 12's weigh things a little differently."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name, text in units.render(RECORD).items():
        # what is started need not be installed on the host that looks at the units
        (tmp_path / name).write_text(
            re.sub(r"^ExecStart=/usr/local\S*", "ExecStart=/bin/true", text, flags=re.MULTILINE)
        )
    return tmp_path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_systemd_understands_every_line(directory: Path) -> None:
    done = analyze("verify", "--recursive-errors=no", *(str(directory / name) for name in units.NAMES))
    ours = [line for line in done.stderr.splitlines() if any(name in line for name in units.NAMES)]
    assert (done.returncode, ours) == (0, [])


def test_a_mistake_would_be_found(directory: Path) -> None:
    unit = directory / units.DAEMON_SERVICE
    unit.write_text(unit.read_text().replace("NoNewPrivileges=yes", "NoNewPriviliges=yes"))
    assert "NoNewPriviliges" in analyze("verify", "--recursive-errors=no", str(unit)).stderr


@pytest.mark.parametrize(("name", "most"), EXPOSURE.items())
def test_exposure(directory: Path, name: str, most: float) -> None:
    done = analyze("security", "--offline=yes", "--no-pager", str(directory / name))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    version = int(analyze("--version").stdout.split()[1])
    assert float(found[1]) <= most + (0 if version == 252 else SLACK)


def test_the_page_on_privileges_states_the_same_figures() -> None:
    page = (Path(__file__).parents[3] / "docs/explanation/privileges.md").read_text()
    for name, most in EXPOSURE.items():
        assert re.search(rf"\| `{re.escape(name)}` \|.*\| {most} \|", page), name


def test_the_page_names_what_is_installed() -> None:
    page = (Path(__file__).parents[3] / "docs/explanation/privileges.md").read_text()
    assert set(re.findall(r"\bCAP_[A-Z_]+", page)) == set(units.CAPABILITIES)
    for name in (units.DAEMON_SERVICE, units.HELPER_SERVICE, units.MACHINES):
        assert f"`{name}`" in page
    for path in (RECORD.state, "/var/cache/banger", "/usr/local/lib/banger", "/usr/bin/python3 -IS"):
        assert f"`{path}`" in page, path
    rendered = units.render(RECORD)
    walls = re.findall(r"`([A-Za-z]+(?:=\w+)?)`", page[page.index("## The walls") : page.index("`systemd-analyze")])
    assert len(walls) > 3
    for wall in walls:
        setting = wall if "=" in wall else f"{wall}=yes"
        for name in (units.DAEMON_SERVICE, units.HELPER_SERVICE):
            assert f"\n{setting}\n" in rendered[name], (wall, name)
    assert "32 requests at a time" in page
