"""Recipes as files: what is read, and what is said of a mistake."""

from pathlib import Path

import pytest

from banger import errors
from banger.api.recipe import BuildImage, RecipeConfig, RecipeFile
from banger.sdk import recipe

WHOLE = """\
name = "tools"
description = "what we work with"
suite = "bookworm"
packages = ["git", "make"]
commands = ["make install", '''
for x in a b; do
    echo $x
done''']
systemd = true
ssh = false
size = "2G"
mirror = "http://mirror/debian"

[[files]]
path = "/etc/motd"
content = "hi\\n"
mode = "0640"
owner = "root:adm"

[[files]]
path = "/usr/local/bin/run"
source = "run.sh"

[[files]]
path = "/etc/empty"
content = ""

[config]
cwd = "/srv"
user = "worker"
cmd = ["run"]
entrypoint = []
env = { A = "1", B = "" }
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "run.sh").write_bytes(b"#!/bin/sh\n\xff")
    (tmp_path / "run.sh").chmod(0o700)
    return tmp_path / "recipe.toml"


def test_every_key_is_read(path: Path) -> None:
    path.write_text(WHOLE)
    assert recipe.read(str(path)) == BuildImage(
        name="tools",
        description="what we work with",
        suite="bookworm",
        packages=["git", "make"],
        commands=["make install", "for x in a b; do\n    echo $x\ndone"],
        systemd=True,
        size=2 << 30,
        mirror="http://mirror/debian",
        files=[
            RecipeFile(path="/etc/motd", content=b"hi\n", mode=0o640, owner="root:adm"),
            RecipeFile(path="/usr/local/bin/run", content=b"#!/bin/sh\n\xff", mode=0o755),
            RecipeFile(path="/etc/empty"),
        ],
        config=RecipeConfig(cwd="/srv", user="worker", cmd=["run"], entrypoint=[], env={"A": "1", "B": ""}),
    )


def test_an_empty_recipe_is_one(path: Path) -> None:
    path.write_text("")
    assert recipe.read(str(path)) == BuildImage(name="")


MISTAKES = [
    ('pakages = ["git"]', "pakages", "did you mean packages"),
    ("file = []", "file", "did you mean files"),
    ("xyzzy = 1", "xyzzy", "there is no such key"),
    ('packages = "git"', "packages", "not an array of strings"),
    ("packages = [1]", "packages", "not an array of strings"),
    ('commands = [""]', "commands", "not an array of strings"),
    ('systemd = "yes"', "systemd", "not true or false"),
    ("size = true", "size", "not a size"),
    ('size = "big"', "size", "not a size"),
    ('suite = "a"\nbase = "b"', "base", "not both"),
    ("suite = ", r"\(file\)", "not TOML"),
    ('[files]\npath = "/a"', "files", r"write \[\[files\]\]"),
    ('files = ["a"]', "files", r"write \[\[files\]\]"),
    ('[[files]]\ncontent = "a"', r"files\[1\].path", "missing"),
    ('[[files]]\npath = "/a"', r"files\[1\].content", "either content or a source"),
    ('[[files]]\npath = "/a"\ncontent = ""\nsource = "run.sh"', r"files\[1\].content", "either"),
    ('[[files]]\npath = "/a"\nsource = "absent"', r"files\[1\].source", "no such file"),
    ('[[files]]\npath = "/a"\nsource = "."', r"files\[1\].source", "directory"),
    ('[[files]]\npath = "/a"\ncontent = ""\nmode = 644', r"files\[1\].mode", "octal"),
    ('[[files]]\npath = "/a"\ncontent = ""\nmode = "0999"', r"files\[1\].mode", "octal"),
    ('[[files]]\npath = "/a"\ncontent = ""\nuser = "x"', r"files\[1\].user", "there is no such key"),
    ('[[files]]\npath = "/a"\ncontent = ""\nmodes = "x"', r"files\[1\].modes", r"did you mean files\[1\].mode"),
    ("config = 1", "config", r"write \[config\]"),
    ('[config]\ncomand = ["a"]', "config.comand", "there is no such key"),
    ('[config]\nenvs = {}', "config.envs", "did you mean config.env"),
    ("[config]\nenv = { A = 1 }", "config.env", "not a table of strings"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key", "reason"), MISTAKES)
def test_a_mistake_is_named_with_its_file_and_key(path: Path, text: str, key: str, reason: str) -> None:
    path.write_text(text)
    with pytest.raises(errors.BadSetting, match=f"{path}: {key}: .*{reason}") as refused:
        recipe.read(str(path))
    assert "recipe.md" in refused.value.advice


def test_files_are_bounded_together_and_a_missing_recipe_is_said(path: Path) -> None:
    (path.parent / "large").write_bytes(bytes(9 << 20))
    path.write_text("".join(f'[[files]]\npath = "/{name}"\nsource = "large"\n' for name in "ab"))
    with pytest.raises(errors.BadSetting, match=r"files: .* at most 16 MiB together; the largest is /a"):
        recipe.read(str(path))
    with pytest.raises(errors.BadSetting, match="no such file"):
        recipe.read(str(path.parent / "absent.toml"))
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(errors.BadSetting, match="larger than 1 MiB"):
        recipe.read(str(path))
