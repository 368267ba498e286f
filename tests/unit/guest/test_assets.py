"""What goes into every image: which files, whose, with which modes, and always the same bytes."""

import configparser
import io
import tarfile
from pathlib import Path

import pytest

from banger import errors
from banger.guest import assets

AGENT = b"\x7fELF and so on"
UNITS = "/etc/systemd/system"
WANTED = {
    "/usr/local/bin/banger-agent": 0o755,
    "/usr/local/libexec/banger-network-bootstrap": 0o755,
    f"{UNITS}/banger-agent.service": 0o644,
    f"{UNITS}/banger-network.service": 0o644,
    "/etc/modules-load.d/banger.conf": 0o644,
}
LINKED = {
    f"{UNITS}/multi-user.target.wants/{unit}": f"{UNITS}/{unit}"
    for unit in ("banger-agent.service", "banger-network.service")
}


@pytest.fixture
def agent(tmp_path: Path) -> str:
    path = tmp_path / "agent"
    path.write_bytes(AGENT)
    return str(path)


def unit(agent: str, name: str) -> dict[str, list[str]]:
    """The settings of a unit, each with all its values, as ``Section.Setting``."""
    found: dict[str, list[str]] = {}
    section = ""
    content = next(each.content for each in assets.load(agent).files if each.path == f"{UNITS}/{name}")
    for line in content.decode().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(f"{section}.{key}", []).append(value)
    return found


def test_the_files_their_modes_and_their_owner(agent: str) -> None:
    files = assets.load(agent).files
    assert {each.path: each.mode for each in files if each.target is None} == WANTED
    assert {each.path: each.target for each in files if each.target is not None} == LINKED
    assert {(each.uid, each.gid) for each in files} == {(0, 0)}
    assert files[0].content == AGENT
    assert all(each.content for each in files if each.target is None)


def test_the_layer_says_the_same_and_names_no_directory(agent: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(assets.layer(assets.load(agent).files))) as archive:
        members = {f"/{each.name}": each for each in archive}
        assert {path: each.mode for path, each in members.items() if each.isreg()} == WANTED
        assert {path: each.linkname for path, each in members.items() if each.issym()} == LINKED
        assert len(members) == len(WANTED) + len(LINKED)
        assert {(each.uid, each.gid, each.uname, each.gname) for each in members.values()} == {(0, 0, "", "")}
        content = archive.extractfile("usr/local/bin/banger-agent")
        assert content is not None and content.read() == AGENT


def test_same_in_same_out(agent: str, tmp_path: Path) -> None:
    first, second = assets.load(agent), assets.load(agent)
    assert first == second and assets.layer(first.files) == assets.layer(second.files)
    (tmp_path / "other").write_bytes(AGENT + b"!")
    other = assets.load(str(tmp_path / "other"))
    assert other.digest != first.digest and first.digest.startswith("sha256:")


def test_an_agent_that_is_not_there_is_named() -> None:
    with pytest.raises(errors.InternalError, match="/nowhere/agent"):
        assets.load("/nowhere/agent")


@pytest.mark.parametrize("name", ["banger-agent.service", "banger-network.service"])
def test_units_act_only_where_the_agent_was_not_first(agent: str, name: str) -> None:
    settings = unit(agent, name)
    conditions = settings["Unit.ConditionKernelCommandLine"]
    assert {"!banger.root", "!banger.init"} <= set(conditions)
    assert settings["Unit.ConditionVirtualization"] == ["!container"]
    assert settings["Install.WantedBy"] == ["multi-user.target"], "the enable links say so too"
    assert settings["Unit.DefaultDependencies"] == ["no"]
    program = settings["Service.ExecStart"][0].split()[0]
    assert program in WANTED


def test_every_line_of_a_unit_is_a_setting(agent: str) -> None:
    for file in assets.load(agent).files:
        if file.path.endswith(".service") and file.target is None:
            parser = configparser.RawConfigParser(strict=False)
            parser.read_string(file.content.decode())
            assert parser.sections() == ["Unit", "Service", "Install"]
