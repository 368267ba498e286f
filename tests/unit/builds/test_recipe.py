"""What a recipe may say, what is on record of it, and when two are alike."""

from typing import Any

import pytest
from msgspec.structs import replace

from banger import errors
from banger.api.image import ImageConfig
from banger.api.recipe import BuildImage, RecipeConfig, RecipeFile
from banger.builds import payload, recipe


def wish(**fields: Any) -> BuildImage:
    return BuildImage(name="tools", **fields)


def file(**fields: Any) -> RecipeFile:
    return RecipeFile(**{"path": "/etc/motd", "content": b"hi\n", **fields})


REFUSED = [
    wish(suite="bookworm", base="alpine"),
    wish(base="alpine", mirror="http://mirror/"),
    wish(mirror="[trusted=yes] http://mirror/"),
    wish(packages=["-o=Dir::Etc=/tmp"]),
    wish(packages=["a b"]),
    wish(packages=[""]),
    wish(packages=["a"] * 1025),
    wish(commands=[" \n"]),
    wish(commands=["a\0b"]),
    wish(commands=["a" * 65537]),
    wish(commands=["a" * 60000] * 5),
    wish(commands=["true"] * 257),
    wish(files=[file(path="etc/motd")]),
    wish(files=[file(path="/")]),
    wish(files=[file(path="/etc/../motd")]),
    wish(files=[file(path="/etc//motd")]),
    wish(files=[file(path="/etc/motd/")]),
    wish(files=[file(path="/etc/mo\ntd")]),
    wish(files=[file(), file()]),
    wish(files=[file(mode=0o10000)]),
    wish(files=[file(mode=-1)]),
    wish(files=[file(owner="-R")]),
    wish(files=[file(owner="root; reboot")]),
    wish(files=[file(content=b"x" * (9 << 20)), file(path="/b", content=b"x" * (9 << 20))]),
    wish(files=[file(path=f"/{number}") for number in range(1025)]),
    wish(config=RecipeConfig(env={"A B": "c"})),
    wish(config=RecipeConfig(env={"A": "\0"})),
    wish(config=RecipeConfig(cwd="srv")),
    wish(description="\x1b[31m"),
    wish(description="x" * 1001),
]


@pytest.mark.parametrize("request_", REFUSED)
def test_what_makes_no_sense_is_refused(request_: BuildImage) -> None:
    with pytest.raises(errors.UsageError):
        recipe.check(request_, None)


def test_a_recipe_is_recorded_with_digests_and_without_repetitions() -> None:
    built = recipe.check(wish(packages=["git", "make", "git"], files=[file(mode=0o4755, owner="0:33")]), "http://m/")
    assert (built.suite, built.base, built.mirror, built.packages) == ("bookworm", "", "http://m/", ["git", "make"])
    (recorded,) = built.files
    assert (recorded.path, recorded.mode, recorded.owner, recorded.size) == ("/etc/motd", 0o4755, "0:33", 3)
    assert recorded.digest == "sha256:98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4"
    assert recipe.check(wish(base="alpine"), "http://m/").mirror is None


def test_alike_is_what_decides_the_image_and_nothing_else() -> None:
    built = recipe.check(wish(commands=["a", "b"], files=[file()]), None)
    key = recipe.key(built, 0, 1, ImageConfig())
    assert recipe.key(replace(built, description="other"), 0, 1, ImageConfig()) == key
    other = [
        recipe.key(built, 1 << 30, 1, ImageConfig()),
        recipe.key(built, 0, 2, ImageConfig()),
        recipe.key(built, 0, 1, ImageConfig(env=["A=b"])),
        *(
            recipe.key(changed, 0, 1, ImageConfig())
            for changed in (
                replace(built, commands=["b", "a"]),
                replace(built, commands=["a b"]),
                replace(built, suite="trixie"),
                replace(built, mirror="http://m/"),
                replace(built, systemd=True),
                replace(built, base_digest="sha256:1"),
                replace(built, config=RecipeConfig(env={"A": "b"})),
                recipe.check(wish(commands=["a", "b"], files=[file(content=b"ho\n")]), None),
                recipe.check(wish(commands=["a", "b"], files=[file(mode=0o600)]), None),
            )
        ),
    ]
    assert len({key, *other}) == len(other) + 1


def test_a_recipe_changes_of_the_bases_configuration_what_it_names() -> None:
    base = ImageConfig(entrypoint=["/e"], cmd=["c"], env=["A=1", "B=2"], cwd="/w", user="u")
    assert recipe.config(base, RecipeConfig()) == base
    changed = recipe.config(base, RecipeConfig(env={"B": "3", "C": "4"}, user="root"))
    assert changed == ImageConfig(entrypoint=["/e"], cmd=["c"], env=["A=1", "B=3", "C=4"], cwd="/w", user="root")
    assert recipe.config(base, RecipeConfig(entrypoint=["/x"])).cmd == []
    assert recipe.config(base, RecipeConfig(cmd=[])).cmd == []


@pytest.mark.parametrize(
    ("owner", "numbers"),
    [
        ("root", (0, 0)),
        ("root:root", (0, 0)),
        ("33:44", (33, 44)),
        ("root:44", (0, 44)),
        ("33", None),
        ("worker", None),
        ("33:worker", None),
    ],
)
def test_owners_in_numbers_need_no_image(owner: str, numbers: tuple[int, int] | None) -> None:
    assert payload.numeric(owner) == numbers
