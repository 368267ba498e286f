"""Damaged layers through the real builder: refused by one of our errors, or an image that e2fsck finds sound."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger import errors
from banger.oci.build import LayerSource, build_image
from tests.ext4_image import Ext4Image
from tests.scratch import in_memory
from tests.security import archive_mutations

REFUSALS = (errors.UnsafeLayer, errors.CorruptBlob, errors.ImageTooSmall)
VALID = archive_mutations.layers()


def outcome(layers: list[bytes]) -> str:
    """Build an image of the layers; what became of it. Nothing else may be left."""
    with in_memory() as name:
        directory = Path(name)
        sources = []
        for number, data in enumerate(layers):
            (directory / f"layer{number}").write_bytes(data)
            sources.append(LayerSource(path=str(directory / f"layer{number}"), name=f"layer-{number}"))
        before = sorted(directory.iterdir())
        output = directory / "image"
        try:
            build_image(sources, str(output), size=64 << 20, seed="fuzz")
        except REFUSALS as refusal:
            assert refusal.message.isprintable()
            assert sorted(directory.iterdir()) == before
            return type(refusal).__name__
        assert sorted(directory.iterdir()) == sorted([*before, output])
        Ext4Image(output, directory).check()
        return "accepted"


def damaged(chance: random.Random) -> list[bytes]:
    """One to three of the valid layers, at least one of them damaged."""
    chosen = VALID[: chance.randint(1, 3)]
    victim = chance.randrange(len(chosen))
    made = [
        archive_mutations.mutated(each, chance) if number == victim or chance.random() < 0.3 else each
        for number, each in enumerate(chosen)
    ]
    return [archive_mutations.packed(each, chance) for each in made]


@settings(max_examples=150)
@given(st.integers(0, 1 << 64))
def test_a_damaged_layer_is_refused_or_makes_a_sound_image(number: int) -> None:
    outcome(damaged(random.Random(number)))


def test_the_damage_reaches_all_outcomes() -> None:
    """Without this, the fuzzing could pass because everything is refused at the first checksum."""
    found = {outcome(damaged(random.Random(number))) for number in range(40)}
    assert found >= {"accepted", "UnsafeLayer", "CorruptBlob"}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_layers_are_valid_before_they_are_damaged(count: int) -> None:
    assert outcome(VALID[:count]) == "accepted"
