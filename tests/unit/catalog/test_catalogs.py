"""Catalogs: what their files may say, which entry wins, and how a broken file is told of."""

import os
from pathlib import Path

import pytest

from banger import errors
from banger.catalog import reader
from banger.catalog.entry import Bundle, Packages, Pinned
from banger.catalog.reader import BUILT_IN, Catalogs

SHA = "0123456789abcdef" * 4
BUNDLE = f'[image.box]\nkind = "bundle"\nurl = "https://example.org/box.tar.zst"\nsha256 = "{SHA}"\nsize = 5\n'


def write(directory: Path, name: str, text: str) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(text)
    return path


def test_the_built_in_catalog_is_sound_and_has_the_default_image() -> None:
    names = {each.name: each.entry for each in reader.read(BUILT_IN)}
    found = names["debian-bookworm"]
    assert isinstance(found, Packages) and "systemd" in found.packages and found.suite == "bookworm"


def test_all_kinds_are_read(tmp_path: Path) -> None:
    text = (
        BUNDLE
        + f'kernel = "mine"\n[image.pinned]\nkind = "oci"\nreference = "quay.io/a/b:1@sha256:{SHA}"\n'
        + '[image.sid]\nkind = "debian"\nsuite = "sid"\npackages = ["git"]\n'
        + f'[kernel."6.12"]\nkind = "bundle"\nurl = "../k.tar.zst"\nsha256 = "{SHA}"\nsize = 9\narch = "arm64"\n'
    )
    file = write(tmp_path / "catalogs", "own.toml", text)
    catalogs = Catalogs(str(tmp_path / "catalogs"))
    box, pinned, kernel = catalogs.image("box"), catalogs.image("pinned"), catalogs.kernel("6.12")
    assert isinstance(box, Bundle) and (box.kernel, box.size) == ("mine", 5)
    assert isinstance(pinned, Pinned) and isinstance(catalogs.image("sid"), Packages)
    assert kernel is not None and kernel.url == str(tmp_path / "catalogs" / "../k.tar.zst")
    assert [(each.name, each.source) for each in catalogs.entries("kernel")] == [("6.12", str(file))]
    assert {"box", "debian-bookworm", "pinned"} < {each.name for each in catalogs.entries("image")}
    assert catalogs.image("6.12") is None and catalogs.faults() == ()


def test_the_users_entries_win_and_the_last_file_of_all(tmp_path: Path) -> None:
    for name, suite in (("a.toml", "trixie"), ("b.toml", "sid")):
        write(tmp_path, name, f'[image.debian-bookworm]\nkind = "debian"\nsuite = "{suite}"\n')
    write(tmp_path, "c.txt", "no catalog")
    found = Catalogs(str(tmp_path)).image("debian-bookworm")
    assert isinstance(found, Packages) and found.suite == "sid"


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    catalogs = Catalogs(str(tmp_path))
    assert catalogs.image("box") is None
    file = write(tmp_path, "own.toml", BUNDLE)
    assert catalogs.image("box") is not None
    file.write_text("[image")
    assert catalogs.image("box") is None and len(catalogs.faults()) == 1
    file.unlink()
    assert catalogs.faults() == ()


FAULTS = [
    ("[image.box]\n", "image.box: it has no kind"),
    ('[image.box]\nkind = "bundlle"\n', "image.box.kind: there is no kind 'bundlle'; did you mean bundle?"),
    ('[image.box]\nkind = "bundle"\n', "image.box: it has no url"),
    (BUNDLE + 'sha265 = "x"\n', "image.box.sha265: there is no such key; did you mean sha256?"),
    (BUNDLE.replace(SHA, "beef"), "image.box.sha256: expected `str` matching"),
    (BUNDLE.replace("size = 5", "size = 0"), "image.box.size: expected `int` >= 1"),
    (BUNDLE.replace("size = 5", 'size = "5"'), "image.box.size: expected `int`"),
    (BUNDLE + 'arch = "mips"\n', "image.box.arch: there are amd64 and arm64"),
    (BUNDLE + 'description = "\\u001b[2J"\n', "image.box.description: it has a control character"),
    (BUNDLE + 'kernel = "../x"\n', "image.box.kernel: expected `str` matching"),
    (BUNDLE.replace("image.box", "image.Box"), "image.Box: it is not a valid name"),
    (BUNDLE.replace("image.box", "imgae.box"), "imgae: there is no such table; did you mean image?"),
    (BUNDLE.replace("image.box", "kernel.box") + 'kernel = "a"\n', "kernel.box.kernel: there is no such key"),
    ('[kernel.a]\nkind = "oci"\n', "kernel.a.kind: there is no kind 'oci'"),
    ('[image.a]\nkind = "oci"\nreference = "docker.io/library/a:1"\n', "image.a.reference: expected `str` matching"),
    ("image = 5\n", "image: write [image.NAME]"),
    ("[image]\nbox = 5\n", "image.box: it is a table"),
    ("= 5", "(file): it is not TOML"),
    ("x = 1\n" * 200_000, "(file): it is larger than 1 MiB"),
]


@pytest.mark.parametrize(("text", "said"), FAULTS)
def test_a_broken_file_is_named_with_its_key_and_stops_no_other(tmp_path: Path, text: str, said: str) -> None:
    file = write(tmp_path, "a.toml", text)
    write(tmp_path, "b.toml", BUNDLE.replace("box", "other"))
    catalogs = Catalogs(str(tmp_path))
    assert catalogs.image("other") is not None and catalogs.image("debian-bookworm") is not None
    (fault,) = catalogs.faults()
    assert isinstance(fault, errors.BadSetting) and str(fault).startswith(f"{file}: {said}"), str(fault)
    assert "catalogs.md" in fault.advice


def test_what_is_no_file_is_a_fault_too(tmp_path: Path) -> None:
    (tmp_path / "a.toml").mkdir()
    (tmp_path / "b.toml").symlink_to("absent")
    os.mkfifo(tmp_path / "c.toml")
    assert [str(each).partition("(file): ")[2] for each in Catalogs(str(tmp_path)).faults()] == [
        "it is no regular file",
        "No such file or directory",
        "it is no regular file",
    ]
