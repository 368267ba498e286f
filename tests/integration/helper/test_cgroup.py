"""Limits as a real kernel takes them, in a control group of the test's own.

Which controllers the unified hierarchy has is the machine's affair, so these tests take those that there are. That all
limits of a machine are set together, its disks' among them, is seen in the box (tests/smoke/test_jail.py).
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.helper import cgroup
from banger.helper.host import Host
from banger.helper.operation import Failed
from tests.jails import FIRST, Scene, hierarchy

pytestmark = pytest.mark.root

LIMITS = {
    "pids": ("pids.max", ("33", "34")),
    "memory": ("memory.max", (str(1 << 30), str(1 << 31))),
    "cpu": ("cpu.max", ("200000 100000", "300000 100000")),
    "hugetlb": ("hugetlb.2MB.max", ("0", str(2 << 20))),
}
"""By controller, a file and two values that it shows as they were written."""


@pytest.fixture
def delegated() -> Iterator[list[str]]:
    """The controllers of `LIMITS` that groups below the hierarchy's root can have."""
    root = hierarchy()
    control = root / "cgroup.subtree_control"
    found = [each for each in (root / "cgroup.controllers").read_text().split() if each in LIMITS]
    added = [each for each in found if each not in control.read_text().split()]
    for each in added:
        control.write_text(f"+{each}")
    yield found
    for each in added:
        with contextlib.suppress(OSError):  # another run of these tests uses it
            control.write_text(f"-{each}")


@pytest.fixture
def host(delegated: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """An installation whose machines' control group has these controllers delegated."""
    parent = hierarchy() / f"banger-test-limits-{os.getpid()}"
    parent.mkdir()
    for each in delegated:
        (parent / "cgroup.subtree_control").write_text(f"+{each}")
    monkeypatch.setattr(cgroup, "CONTROLLERS", ())
    made = Host(owner_uid=1000, owner_gid=1000, cgroup=str(parent / "machines"))
    yield made
    cgroup.remove(made, FIRST)
    for path in (Path(made.cgroup), parent):
        if path.exists():
            path.rmdir()


def test_the_kernel_has_what_was_set(host: Host, delegated: list[str]) -> None:
    assert delegated, "this kernel has no controller for a limit of ours"
    wanted = {LIMITS[each][0]: LIMITS[each][1][0] for each in delegated}
    os.close(cgroup.make(host, FIRST, wanted))
    leaf = Path(cgroup.leaf(host, FIRST))
    assert {name: (leaf / name).read_text().strip() for name in wanted} == wanted
    assert set(Path(host.cgroup, "cgroup.subtree_control").read_text().split()) == set(delegated)


def test_each_line_of_a_limit_is_written_by_itself(host: Host, delegated: list[str]) -> None:
    name, values = LIMITS[delegated[0]]
    os.close(cgroup.make(host, FIRST, {name: "\n".join(values)}))
    assert Path(cgroup.leaf(host, FIRST), name).read_text().strip() == values[-1]


def test_a_limit_that_the_kernel_refuses_is_an_error(host: Host, delegated: list[str]) -> None:
    name, _ = LIMITS[delegated[0]]
    with pytest.raises(Failed, match=f"{name} cannot be set to 'many'"):
        cgroup.make(host, FIRST, {name: "many"})


def test_a_machine_that_cannot_have_its_limits_is_not_started(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its group's parent has nothing to hand on."""
    monkeypatch.setattr(cgroup, "CONTROLLERS", ("io",))
    with pytest.raises(Failed, match="the controller io is not delegated"):
        scene.launch()
    assert scene.left() == []
