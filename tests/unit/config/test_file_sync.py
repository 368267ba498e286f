"""Entries of ``[[file_sync]]``: what makes sense, and how what does not is told."""

from pathlib import Path

import pytest

from banger import errors
from banger.config.loader import load
from banger.config.sync import FileSync


def read(path: Path, text: str) -> tuple[FileSync, ...]:
    (path / "c.toml").write_text(text)
    return load(str(path / "c.toml")).file_sync


def test_entries_are_read_as_they_are_meant(tmp_path: Path) -> None:
    text = """
[[file_sync]]
host = "~/.vimrc"
guest = "~/.vimrc"

[[file_sync]]
host = "/srv/tools/"
guest = "/root/tools/"
mode = "755"
"""
    assert read(tmp_path, text) == (
        FileSync("~/.vimrc", "/root/.vimrc", "0600"),
        FileSync("/srv/tools", "/root/tools", "755"),
    )
    inline = 'file_sync = [{host = "~/a b", guest = "~/.config/a b"}]'
    assert read(tmp_path, inline) == (FileSync("~/a b", "/root/.config/a b"),)
    assert read(tmp_path, "") == ()


@pytest.mark.parametrize("path", ["", "vimrc", "./vimrc", "~", "~/", "/", "~other/x", "~/../x", "/root/a/../b", "/a//b",
                                  "~/a/./b", "/a\\u0000b", 5, "/" + "x" * 300])  # fmt: skip
@pytest.mark.parametrize("key", ["host", "guest"])
def test_a_path_that_could_mean_another_place_is_refused_with_its_entry(tmp_path: Path, key: str, path: object) -> None:
    written = f'"{path}"' if isinstance(path, str) else str(path)
    good = {"host": '"~/x"', "guest": '"~/x"'} | {key: written}
    text = (
        f'[[file_sync]]\nhost = "~/y"\nguest = "~/y"\n[[file_sync]]\nhost = {good["host"]}\nguest = {good["guest"]}\n'
    )
    with pytest.raises(errors.BadSetting) as caught:
        read(tmp_path, text)
    line = {"host": 5, "guest": 6}[key]
    assert str(caught.value).startswith(f"{tmp_path}/c.toml:{line}: file_sync[1].{key}: ")


@pytest.mark.parametrize(
    ("entry", "key", "says"),
    [
        ('host = "~/x"\nguest = "/etc/passwd"', "file_sync[0].guest", "is not a path below ~/ or /root"),
        ('host = "~/x"\nguest = "/root"', "file_sync[0].guest", "is not a path below ~/ or /root"),
        ('host = "~/x"\nguest = "/rooted/x"', "file_sync[0].guest", "is not a path below ~/ or /root"),
        ('host = "~/x"\nguest = "~/x"\nmode = "0999"', "file_sync[0].mode", "octal digits"),
        ('host = "~/x"\nguest = "~/x"\nmode = "4755"', "file_sync[0].mode", "octal digits"),
        ('host = "~/x"\nguest = "~/x"\nmode = 600', "file_sync[0].mode", "octal digits"),
        ('host = "~/x"', "file_sync[0]", "guest is missing"),
        ('guest = "~/x"', "file_sync[0]", "host is missing"),
        ('hots = "~/x"\nguest = "~/x"', "file_sync[0].hots", "did you mean host?"),
        ('host = "~/x"\nguest = "~/x"\n[[file_sync]]\nhost = "~/y"\nguest = "/root/x"', "file_sync[1].guest", "twice"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path: Path, entry: str, key: str, says: str) -> None:
    with pytest.raises(errors.BadSetting, match=says) as caught:
        read(tmp_path, f"[[file_sync]]\n{entry}\n")
    assert caught.value.data["key"] == key


def test_a_table_in_place_of_tables_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.BadSetting, match=r"c\.toml:1: file_sync: these are tables: write \[\[file_sync\]\]"):
        read(tmp_path, '[file_sync]\nhost = "~/x"\nguest = "~/x"\n')
