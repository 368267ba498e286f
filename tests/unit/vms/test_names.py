"""Names of machines."""

import pytest

from banger import errors
from banger.vms import names


@pytest.mark.parametrize("name", ["a", "0", "a-b", "web-1", "x" * 63, "a--b", "a-"])
def test_names_that_follow_the_grammar(name: str) -> None:
    assert names.check(name) == name


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a.b", "a b", "a/b", "..", "x" * 64, "ä", "a\n", "a\0b"])
def test_names_that_do_not(name: str) -> None:
    with pytest.raises(errors.InvalidName):
        names.check(name)


def test_generated_names_follow_the_grammar() -> None:
    for adjective in names.ADJECTIVES:
        for animal in names.ANIMALS:
            names.check(f"{adjective}-{animal}-9999")


def test_the_words_are_all_different() -> None:
    assert len(set(names.ADJECTIVES)) == len(names.ADJECTIVES)
    assert len(set(names.ANIMALS)) == len(names.ANIMALS)


def test_a_generated_name_is_free_even_when_all_pairs_are_taken() -> None:
    taken = {f"{adjective}-{animal}" for adjective in names.ADJECTIVES for animal in names.ANIMALS}
    made = names.generate(taken)
    assert made not in taken and names.check(made)
