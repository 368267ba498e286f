"""Which manifest of an index is meant."""

import pytest

from banger import errors
from banger.oci import reference, resolve

REFERENCE = reference.parse("debian")


def listed(*platforms: str) -> list[resolve._Listed]:
    """One entry for each ``os/architecture[/variant]``, with digests that count."""
    found = []
    for number, platform in enumerate(platforms):
        os, architecture, variant = [*platform.split("/"), ""][:3]
        found.append(
            resolve._Listed(
                f"sha256:{number:064x}", resolve._Platform(os=os, architecture=architecture, variant=variant)
            )
        )
    return found


@pytest.mark.parametrize(
    ("platforms", "architecture", "position"),
    [
        (("linux/arm64", "linux/amd64"), "amd64", 1),
        (("windows/amd64", "linux/amd64/v3", "linux/amd64"), "amd64", 2),
        (("linux/amd64", "linux/amd64"), "amd64", 0),
        (("linux/arm64/v8",), "arm64", 0),
        (("linux/arm64/v8", "linux/arm64"), "arm64", 1),
        (("unknown/unknown", "linux/amd64", "unknown/unknown"), "amd64", 1),
    ],
)
def test_the_one_that_runs_here(platforms: tuple[str, ...], architecture: str, position: int) -> None:
    assert resolve._pick(listed(*platforms), REFERENCE, ("linux", architecture)) == f"sha256:{position:064x}"


@pytest.mark.parametrize(
    ("platforms", "told"),
    [
        (("linux/arm/v7", "linux/amd64/v2", "unknown/unknown"), "is for linux/amd64/v2, linux/arm/v7, not for"),
        (("windows/amd64",), "is for windows/amd64, not for linux/amd64"),
        ((), "is for no platform at all"),
        (("linux/\x1b[2J",), "is for linux/"),
    ],
)
def test_those_that_there_are_are_named(platforms: tuple[str, ...], told: str) -> None:
    with pytest.raises(errors.WrongPlatform) as caught:
        resolve._pick(listed(*platforms), REFERENCE, ("linux", "amd64"))
    assert told in caught.value.message and caught.value.message.isprintable()
