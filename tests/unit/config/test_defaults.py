"""How large a machine is when nobody says: the file, then the host, then what is built in."""

from pathlib import Path

import pytest

from banger.config import defaults
from banger.config.defaults import BY_HOST, BY_US, Origin, Sized, decide, shares
from banger.config.loader import load
from banger.config.sizes import GIB, MIB


@pytest.mark.parametrize(
    ("processors", "vcpu"), [(1, 1), (3, 1), (4, 1), (7, 1), (8, 2), (15, 3), (16, 4), (64, 4), (512, 4)]
)
def test_a_quarter_of_the_hosts_processors(processors: int, vcpu: int) -> None:
    assert shares(processors, None) == {"vcpu": vcpu}


@pytest.mark.parametrize(
    ("host", "memory"),
    [
        (1 * GIB, 512 * MIB),
        (4 * GIB, 512 * MIB),
        (5 * GIB, 640 * MIB),
        (5 * GIB + 300 * MIB, 640 * MIB),
        (16 * GIB, 2 * GIB),
        (64 * GIB, 8 * GIB),
        (1024 * GIB, 8 * GIB),
    ],
)
def test_an_eighth_of_the_hosts_memory_in_whole_steps(host: int, memory: int) -> None:
    assert shares(None, host) == {"memory": memory}


def test_the_file_wins_over_the_host_and_the_host_over_what_is_built_in() -> None:
    by_file = Origin("user", "/c.toml", 3)
    found = decide({"memory": Sized(3 * GIB, by_file), "disk_size": Sized(GIB, by_file)}, {"vcpu": 3, "memory": GIB})
    assert found == {
        "vcpu": Sized(3, BY_HOST),
        "memory": Sized(3 * GIB, by_file),
        "disk_size": Sized(GIB, by_file),
        "work_disk_size": Sized(8 * GIB, BY_US),
    }


def test_a_host_that_cannot_be_measured_leaves_what_is_built_in() -> None:
    assert {name: value for name, (value, _) in decide({}, shares(None, None)).items()} == defaults.BUILT_IN


def test_each_size_is_known_by_the_file_that_has_it(tmp_path: Path) -> None:
    ours, own = tmp_path / "host.toml", tmp_path / "own.toml"
    ours.write_text('[vm_defaults]\nvcpu = 3\nwork_disk_size = "20G"\n')
    own.write_text("[vm_defaults]\nvcpu = 2\n")
    config = load(str(ours), str(own))
    assert (config.vm_defaults.vcpu, config.vm_defaults.work_disk_size) == (2, 20 * GIB)
    origins = {name: config.origins[f"vm_defaults.{name}"] for name in defaults.BUILT_IN}
    assert origins == {
        "vcpu": Origin("user", str(own), 2),
        "memory": BY_HOST,
        "disk_size": BY_US,
        "work_disk_size": Origin("user", str(ours), 3),
    }
