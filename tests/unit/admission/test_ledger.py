"""What is held, for how long, and how the host is read."""

from pathlib import Path

import pytest

from banger import errors
from banger.admission import ledger
from banger.admission.judgement import Wish
from banger.admission.ledger import Admission
from banger.config.settings import build
from banger.config.sizes import MIB


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 1024 kB\nMemFree: 1 kB\nMemAvailable:  512 kB\n")
    return tmp_path


def machine(name: str) -> Wish:
    return Wish(name, machine=name, name=name)


def test_what_was_admitted_is_held_as_long_as_its_change_lasts(state: Path) -> None:
    lasting: set[str] = set()
    admission = Admission(str(state), build({"machine_limit": 1}), lasting.__contains__, str(state))
    with admission.admitted(machine("one")) as notices:
        lasting.add("one")
    assert notices == []
    with pytest.raises(errors.LimitReached), admission.admitted(machine("two")):
        pass
    lasting.clear()
    with admission.admitted(machine("two")):
        lasting.add("two")
    assert [each.name for each in admission.facts().claims] == ["two"]


def test_a_change_that_could_not_begin_holds_nothing(state: Path) -> None:
    admission = Admission(str(state), build({"machine_limit": 1}), lambda subject: True, str(state))
    with pytest.raises(errors.Busy), admission.admitted(machine("one")):
        raise errors.Busy(kind="machine", name="one", change="vm.start")
    with admission.admitted(None):
        pass
    assert admission.facts().claims == []


def test_what_is_written_by_now_is_not_asked_for_twice(state: Path) -> None:
    admission = Admission(str(state), build({}), lambda subject: True, str(state))
    place = state / "place"
    with admission.admitted(Wish("image", disk=MIB, place=str(place))):
        pass
    facts = admission.facts()
    (held,) = facts.claims
    assert held.disk == MIB and facts.written(held) == 0
    place.mkdir()
    (place / "half").write_bytes(b"x" * (MIB // 2))
    assert 0 < facts.written(held) == ledger.written(str(place)) < MIB


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("MemTotal: 1024 kB\nMemAvailable:  512 kB\n", (1 << 20, 1 << 19)),
        ("MemTotal: 1024 kB\n", (1 << 20, None)),
        ("MemAvailable: 512 kB\n", (None, None)),
        ("MemTotal: 1024 kB\nMemAvailable: 4096 kB\n", (1 << 20, None)),
        ("MemTotal: -1 kB\nMemAvailable: much\n", (None, None)),
        ("MemTotal:\nMemAvailable\n\xff: \n", (None, None)),
        (f"MemTotal: {'9' * 40} kB\nMemAvailable: {'9' * 18} kB\n", (None, None)),
        ("MemTotal: 0 kB\nMemAvailable: 0 kB\n", (None, 0)),
        ("", (None, None)),
    ],
)
def test_memory_as_proc_tells_it(state: Path, text: str, found: tuple[int | None, int | None]) -> None:
    (state / "proc/meminfo").write_bytes(text.encode("latin-1"))
    assert ledger.memory(str(state)) == found


def test_a_host_that_tells_nothing_of_its_memory(tmp_path: Path) -> None:
    assert ledger.memory(str(tmp_path)) == (None, None)
    (tmp_path / "proc/meminfo").mkdir(parents=True)
    assert ledger.memory(str(tmp_path)) == (None, None)
    admission = Admission(str(tmp_path), build({}), lambda subject: True, str(tmp_path))
    with admission.admitted(Wish("vm", machine="vm", name="vm", memory=1 << 60)) as notices:
        pass
    assert notices == []
