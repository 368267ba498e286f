"""Profiles in config.toml and in repositories: what they may say, and who wins."""

from pathlib import Path

import msgspec
import pytest

from banger import errors
from banger.api.vm import CreateVm
from banger.cli.profile import merged
from banger.config import profile
from banger.config.loader import load
from banger.config.profile import FIELDS, LOCAL, PACKAGES, PROJECT_FIELDS
from banger.oci.reference import TRANSPORTS
from banger.paths import PROJECT, project_file

WHOLE = """\
image = "docker.io/library/debian:bookworm"
vcpu = 2
memory = "3G"
disk_size = "9G"
work_disk_size = 512
nat = true
peers = false
publish = ["8080:80", "[::1]:443"]
env = {LANG = "C.UTF-8", EMPTY = ""}
labels.team = "web"
packages = ["make", "g++", "make", "python3.12-venv", "NetworkManager", "0ad"]
"""


def refused(path: Path, text: str) -> str:
    (path / PROJECT).write_text(text)
    with pytest.raises(errors.BadSetting) as caught:
        profile.read(str(path / PROJECT))
    return str(caught.value).removeprefix(f"{path}/{PROJECT}:")


def test_the_keys_are_fields_of_the_request() -> None:
    known = {each.name for each in msgspec.structs.fields(CreateVm)}
    assert {each.name for each in FIELDS} - known == {PACKAGES}
    assert {each.name for each in PROJECT_FIELDS} - {each.name for each in FIELDS} == {"workspace"}


def test_a_profile_of_the_user_s_and_the_same_in_a_repository(tmp_path: Path) -> None:
    expected = {
        "image": "docker.io/library/debian:bookworm", "vcpu": 2, "memory": 3 << 30, "disk_size": 9 << 30,
        "work_disk_size": 512 << 20, "nat": True, "peers": False, "publish": ["8080:80", "[::1]:443"],
        "env": {"LANG": "C.UTF-8", "EMPTY": ""}, "labels": {"team": "web"},
        "packages": ["make", "g++", "python3.12-venv", "NetworkManager", "0ad"],
    }  # fmt: skip
    (tmp_path / "c.toml").write_text(f"[profile.web]\n{WHOLE}\n[profile.other]\n")
    config = load(str(tmp_path / "c.toml"))
    assert config.profile == {"web": expected, "other": {}}
    assert config.origins["profile.other"].line == 14
    (tmp_path / PROJECT).write_text(WHOLE + "workspace = true\n")
    assert profile.read(str(tmp_path / PROJECT)).values == {**expected, "workspace": True}


def test_the_user_s_profile_of_a_name_stands_for_the_host_s(tmp_path: Path) -> None:
    (tmp_path / "host.toml").write_text("[profile.a]\nvcpu = 1\nnat = true\n[profile.b]\nvcpu = 1\n")
    (tmp_path / "own.toml").write_text("[profile.a]\nvcpu = 2\n")
    config = load(str(tmp_path / "host.toml"), str(tmp_path / "own.toml"))
    assert config.profile == {"a": {"vcpu": 2}, "b": {"vcpu": 1}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\nvcpus = 2", "2: vcpus: there is no such setting; did you mean vcpu?"),
        ("vcpu = 0", "1: vcpu: 0 is not a whole number from 1 to 64"),
        ("[env]\nA = 1", "2: env.A: 1 is not a string"),
        ("[env]\n'A=B' = 'x'", '2: env."A=B": '),
        ("env = []", "1: env: [] is not a table of strings"),
        ("publish = ['8080 80']", "1: publish: ['8080 80'] is not an array of"),
        ("publish = '8080'", "1: publish: "),
        ("nat = 'yes'", "1: nat: 'yes' is not true or false"),
        ("packages = 'make'", "1: packages: 'make' is not an array of names of packages"),
        ("packages = [\n'make',\n3]", "3: packages[1]: 3 is not the name of a package"),
        (f"packages = {['a'] * 257}", "1: packages: these are 257, and 256 is the most"),
        ("vcpu = \nnat = true", "1: (file): it is not TOML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    assert refused(tmp_path, text).startswith(says)


@pytest.mark.parametrize(
    "name",
    ["-o Foo", "-y", "a;b", "../x", "./x.deb", "/x", "", " ", "make gcc", "make=4.3", "make/sid", "make-", "!make",
     "+a", ".a", "libc6:i386", "@core", "a@edge", "py*", "a\\nb", "$(reboot)", "`x`", "ma\\u0000ke", "mäke", "٣",
     "a" * 129],
)  # fmt: skip
def test_a_package_is_a_name_and_no_more(tmp_path: Path, name: str) -> None:
    assert refused(tmp_path, f'packages = [\n  "make",\n  "{name}",\n]').startswith("3: packages[1]: ")


def test_many_packages_are_taken(tmp_path: Path) -> None:
    names = [f"lib{number}-dev" for number in range(200)]
    (tmp_path / PROJECT).write_text(f"packages = {names}\n")
    assert profile.read(str(tmp_path / PROJECT)).values == {"packages": names}


@pytest.mark.parametrize("name", ["Web", "-a", "", "a b", "x" * 64])
def test_a_profile_s_name_is_checked(tmp_path: Path, name: str) -> None:
    (tmp_path / "c.toml").write_text(f'[profile."{name}"]\nvcpu = 1\n')
    with pytest.raises(errors.BadSetting, match="a profile's name is"):
        load(str(tmp_path / "c.toml"))


@pytest.mark.parametrize(
    "image", [*(f"{each}:x" for each in LOCAL), "/rootfs.ext4", "./x", "~/x", "a\x1bb", "", "oci:dir:tag"]
)
def test_a_repository_names_no_image_on_this_host(tmp_path: Path, image: str) -> None:
    written = image.replace("\x1b", "\\u001b")
    assert refused(tmp_path, f'image = "{written}"').startswith("1: image: ")


def test_what_reads_from_this_host_is_what_the_references_know() -> None:
    assert {*LOCAL, "docker"} == set(TRANSPORTS)


@pytest.mark.parametrize("key", ["file_sync", "ssh_key_path", "profile", "kernel", "name", "command", "git_identity"])
def test_a_repository_sets_nothing_of_the_host_s(tmp_path: Path, key: str) -> None:
    assert "there is no such setting" in refused(tmp_path, f'{key} = "x"')


def test_the_nearer_wins_and_tables_are_joined() -> None:
    below = {"vcpu": 1, "memory": 2, "nat": True, "env": {"A": "1", "B": "1"}, "publish": ["1"]}
    above: dict[str, object] = {"vcpu": 3, "memory": None, "nat": False, "env": {"B": "2"}, "publish": [], "name": None}
    assert merged(below, above) == {
        "vcpu": 3, "memory": 2, "nat": False, "env": {"A": "1", "B": "2"}, "publish": ["1"], "name": None,
    }  # fmt: skip


def test_the_file_that_speaks_for_a_directory_is_at_the_top_of_its_repository(tmp_path: Path) -> None:
    inner = tmp_path / "repository" / "src" / "deep"
    inner.mkdir(parents=True)
    top = tmp_path / "repository"
    (inner.parent / PROJECT).write_text("")
    assert project_file(str(inner)) is None
    assert project_file(str(inner.parent)) == str(inner.parent / PROJECT), "outside of any repository"
    (top / ".git").write_text("gitdir: elsewhere")
    assert project_file(str(inner.parent)) is None
    (top / PROJECT).write_text("")
    assert project_file(str(inner)) == project_file(str(top)) == str(top / PROJECT)
    (tmp_path / "way").symlink_to(inner)
    assert project_file(str(tmp_path / "way")) == str(top / PROJECT)


def test_what_is_shown_is_one_line_for_each_setting() -> None:
    said = {"vcpu": 2, "memory": 3 << 30, "env": {"A": "x\x1b[2J", "b c": "\u202e"}, "labels": {}}
    assert profile.lines(said) == [
        "vcpu = 2", 'memory = "3G"', 'env.A = "x\\u001b[2J"', 'env."b c" = "\\u202e"', "labels = {}",
    ]  # fmt: skip
