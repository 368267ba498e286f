"""A recipe from flags, from a file, and from both."""

from pathlib import Path

import pytest

from banger import errors
from banger.api.recipe import BuildImage, RecipeFile
from banger.cli import parser
from banger.cli.cmd_image_build import wish
from banger.cli.verb import Verb
from banger.cli.verbs import find


def read(*words: str) -> BuildImage:
    verb, _ = find(["image", "build"])
    assert isinstance(verb, Verb)
    return wish(parser.parse(verb, words))


def test_flags_alone_make_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "a:b").write_bytes(b"x")
    wanted = read(
        *("tools", "--package", "git", "--package", "make", "--command", "a b", "--run", "c", "--systemd", "--ssh"),
        *("--file", f"{tmp_path}/a:b:/etc/x", "--file", f"{tmp_path}/a:b:/etc/y:0600", "--size", "2G", "--force"),
    )
    assert wanted == BuildImage(
        name="tools",
        packages=["git", "make"],
        commands=["a b", "c"],
        files=[RecipeFile(path="/etc/x", content=b"x"), RecipeFile(path="/etc/y", content=b"x", mode=0o600)],
        systemd=True,
        ssh=True,
        size=2 << 30,
        force=True,
    )


def test_flags_add_to_a_recipe_or_replace(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'name = "one"\nsuite = "bookworm"\npackages = ["git"]\ncommands = ["a"]\nssh = true\nsize = "1G"\n'
        '[[files]]\npath = "/a"\ncontent = "a"\n[[files]]\npath = "/b"\ncontent = "b"\n'
    )
    (tmp_path / "new").write_bytes(b"new")
    wanted = read(
        *("two", "--recipe", str(recipe), "--base", "alpine", "--package", "make", "--command", "b", "--size", "3G"),
        *("--file", f"{tmp_path}/new:/a"),
    )
    assert (wanted.name, wanted.suite, wanted.base, wanted.size) == ("two", None, "alpine", 3 << 30)
    assert (wanted.packages, wanted.commands, wanted.ssh) == (["git", "make"], ["a", "b"], True)
    assert [(each.path, each.content) for each in wanted.files] == [("/b", b"b"), ("/a", b"new")]
    assert read("--recipe", str(recipe)).name == "one"


@pytest.mark.parametrize(
    "words",
    [
        ["--package", "git"],
        ["a", "--base", "b", "--suite", "c"],
        ["a", "--file", "x"],
        ["a", "--file", "x:relative"],
        ["a", "--file", f"{__file__}:/a:rwx"],
        ["a", "--file", "/:/a"],
        ["a", "--file", "/dev/null:/a"],
    ],
)
def test_what_makes_no_sense_is_a_wrong_usage(words: list[str]) -> None:
    with pytest.raises(errors.UsageError):
        read(*words)
    with pytest.raises(errors.NoSuchPath):
        read("a", "--file", "/absent/x:/a")
