"""``banger run`` by profiles: a daemon with machines of the fake driver, and the question on a terminal."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.paths import PROJECT
from tests import fakes
from tests.home import Home, make_home, passable
from tests.integration.cli.terminal import OnTerminal

SAID = 'image = "tiny"\nvcpu = 2\nmemory = "256M"\nenv.A = "project"\nenv.B = "project"\nlabels.of = "project"\n'
OWN = (
    '[profile.small]\nvcpu = 1\nmemory = "192M"\nimage = "tiny"\nwork_disk_size = "96M"\nenv = {A = "own", C = "own"}\n'
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with passable(tmp_path_factory.mktemp("profiles")) as directory, make_home(directory) as made:
        fakes.prepare(made, quick=False)
        yield made


@pytest.fixture
def repository(shared: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """An installation whose directory, where commands run, is a repository; no machine and no file is left."""
    top = shared.directory
    (top / ".git").mkdir(exist_ok=True)
    monkeypatch.chdir(top)
    yield shared
    for name in shared.banger("ps", "-q", check=True).stdout.split():
        shared.banger("rm", name, check=True)
    shared.banger("config", "untrust")
    for path in (top / PROJECT, Path(shared.paths.config_file)):
        path.unlink(missing_ok=True)


def shown(home: Home, name: str) -> dict[str, Any]:
    found = json.loads(home.banger("vm", "show", name, "--json", check=True).stdout)
    assert isinstance(found, dict)
    return found


def own(home: Home) -> None:
    os.makedirs(home.paths.config, exist_ok=True)
    Path(home.paths.config_file).write_text(OWN)


def test_nothing_takes_effect_before_it_is_trusted(repository: Home) -> None:
    (repository.directory / PROJECT).write_text(SAID)
    refused = repository.banger("run", "-d", "--name", "one", stdin=b"y\n")
    assert refused.status == 125
    assert f"{PROJECT} sets" in refused.stderr and f"'banger config trust {repository.directory}'" in refused.stderr
    assert repository.banger("ps", "-q", check=True).stdout == ""
    trusted = repository.banger("config", "trust", check=True)
    assert 'memory = "256M"' in trusted.stderr
    repository.banger("run", "-d", "--name", "one", check=True)
    found = shown(repository, "one")
    assert (found["vcpu"], found["memory"], found["labels"]) == (2, 256 << 20, {"of": "project"})
    assert found["env"] == {"A": "project", "B": "project"}
    assert repository.banger("config", "trust", check=True).stderr.endswith("is trusted already\n")
    repository.banger("config", "untrust", check=True)
    assert repository.banger("run", "-d").status == 125


def test_flags_win_over_the_repository_and_that_over_the_user_s_profile(repository: Home) -> None:
    own(repository)
    (repository.directory / PROJECT).write_text(SAID)
    repository.banger("config", "trust", check=True)
    repository.banger("run", "-d", "--name", "one", "--profile", "small", "--vcpu", "3", "-e", "B=flag", check=True)
    found = shown(repository, "one")
    assert (found["vcpu"], found["memory"], found["work_disk_size"]) == (3, 256 << 20, 96 << 20)
    assert found["env"] == {"A": "project", "B": "flag", "C": "own"}


def test_no_profile_ignores_the_repository_alone(repository: Home) -> None:
    own(repository)
    (repository.directory / PROJECT).write_text("not even TOML")
    repository.banger("run", "-d", "--name", "one", "--profile", "small", "--no-profile", check=True)
    assert shown(repository, "one")["env"] == {"A": "own", "C": "own"}
    wrong = repository.banger("run", "-d")
    assert wrong.status == 125 and f"{PROJECT}:1: (file): it is not TOML" in wrong.stderr


def test_names_of_profiles_are_suggested(repository: Home) -> None:
    own(repository)
    suggested = repository.banger("internal", "complete", "--", "run", "--profile", "", check=True)
    assert suggested.stdout == "small\tprofile\n"


def test_a_profile_that_there_is_not_is_told_with_the_nearest(repository: Home) -> None:
    own(repository)
    wrong = repository.banger("run", "-d", "--profile", "smalls")
    assert wrong.status == 125 and "there is no [profile.smalls]; did you mean small?" in wrong.stderr


def test_the_question_shows_what_is_set_and_what_has_changed(repository: Home) -> None:
    file = repository.directory / PROJECT
    file.write_text(SAID + 'env.X = "\\u001b[2J\\u202e"\n')
    asked = OnTerminal(repository, "run", "-d", "--name", "one")
    asked.expect("Trust it, until its content changes? [y/N] ")
    assert b"vcpu = 2" in asked.seen and b"\x1b[2J" not in asked.seen and "\u202e".encode() not in asked.seen
    asked.type("n\n")
    assert asked.end() == 125
    assert repository.banger("ps", "-q", check=True).stdout == ""
    asked = OnTerminal(repository, "run", "-d", "--name", "one")
    asked.expect("[y/N] ")
    asked.type("y\n")
    assert asked.end() == 0
    assert shown(repository, "one")["vcpu"] == 2
    unasked = OnTerminal(repository, "run", "-d", "--name", "two")
    assert unasked.end() == 0 and b"Trust it" not in unasked.seen
    file.write_text(SAID.replace("vcpu = 2", "vcpu = 4"))
    asked = OnTerminal(repository, "run", "-d", "--name", "three")
    asked.expect("has changed since it was trusted")
    asked.expect("- vcpu = 2")
    asked.expect("+ vcpu = 4")
    asked.expect("[y/N] ")
    asked.type("\n")
    assert asked.end() == 125
