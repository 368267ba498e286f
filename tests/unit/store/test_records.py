"""Named records: unique names, references by name, id and beginning of an id."""

import threading
from pathlib import Path

import msgspec
import pytest

from banger import errors
from banger.store.database import Database
from banger.store.records import Records


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    size: int = 0


@pytest.fixture
def things(tmp_path: Path) -> Records[Thing]:
    return Records(Database(str(tmp_path / "banger.db")), "vms", Thing)


def test_a_record_comes_back_as_it_was(things: Records[Thing]) -> None:
    things.insert(Thing(id="a1", name="one", size=2**40))
    assert things.by_id("a1") == things.by_name("one") == Thing(id="a1", name="one", size=2**40)
    assert things.by_id("one") is None
    assert things.by_name("a1") is None


def test_replace_writes_anew_and_tells_what_is_gone(things: Records[Thing]) -> None:
    things.insert(Thing(id="a1", name="one"))
    things.insert(Thing(id="a2", name="two"))
    things.replace(Thing(id="a1", name="uno", size=5))
    assert things.by_name("uno") == Thing(id="a1", name="uno", size=5)
    with pytest.raises(errors.AlreadyExists, match="'two'"):
        things.replace(Thing(id="a1", name="two"))
    things.delete("a1")
    things.delete("a1")
    with pytest.raises(errors.NotFound):
        things.replace(Thing(id="a1", name="uno"))


def test_a_reference_is_a_name_then_an_id_then_the_beginning_of_one_id(things: Records[Thing]) -> None:
    things.insert(Thing(id="abc1", name="one"))
    things.insert(Thing(id="abd2", name="abc"))
    things.insert(Thing(id="ffff", name="abc1"))
    assert things.resolve("one").id == "abc1"
    assert things.resolve("abc1").id == "ffff"  # a name before an id
    assert things.resolve("abd2").id == "abd2"
    assert things.resolve("ff").id == "ffff"
    assert things.resolve("abc").id == "abd2"
    with pytest.raises(errors.Ambiguous, match="one"):
        things.resolve("ab")


@pytest.mark.parametrize("reference", ["", "f", "none", "%", "ab%", "__", "f*"])
def test_what_names_nothing_is_not_found(things: Records[Thing], reference: str) -> None:
    things.insert(Thing(id="ffff", name="one"))
    with pytest.raises(errors.NotFound, match="no machine named"):
        things.resolve(reference)


def test_of_twenty_inserts_of_one_name_one_wins(things: Records[Thing]) -> None:
    outcomes: list[str] = []
    ready = threading.Barrier(20)

    def insert(number: int) -> None:
        ready.wait()
        try:
            things.insert(Thing(id=f"id{number}", name="same"))
            outcomes.append("won")
        except errors.AlreadyExists:
            outcomes.append("lost")

    threads = [threading.Thread(target=insert, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 19 + ["won"]
    assert things.count() == 1


def test_records_survive_in_the_file_and_are_listed_by_name(tmp_path: Path) -> None:
    path = str(tmp_path / "banger.db")
    first = Database(path)
    Records(first, "images", Thing).insert(Thing(id="2", name="b"))
    Records(first, "images", Thing).insert(Thing(id="1", name="c"))
    Records(first, "images", Thing).insert(Thing(id="3", name="a"))
    first.close()
    assert [each.name for each in Records(Database(path), "images", Thing).list()] == ["a", "b", "c"]


def test_only_known_tables_are_named_in_statements(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        Records(Database(str(tmp_path / "banger.db")), "vms; DROP TABLE vms", Thing)
