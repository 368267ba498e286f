"""A cloned repository's .banger.toml: what it may try before anybody has agreed to it, and while they are asked."""

import io
import os
import sys
from pathlib import Path

import pytest

from banger import errors
from banger.cli import profile as cli
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.config import profile
from banger.config.profile import PROJECT_LIMIT
from banger.config.trust import Trusted
from banger.paths import PROJECT


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BANGER_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BANGER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("TERM", "dumb")
    return tmp_path / "state" / "trusted"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    return tmp_path / "repository"


def run(repository: Path) -> dict[str, object]:
    return cli.settled(Namespace(profile=None, no_profile=False), str(repository), Terminal())


def said(file: bytes | str, before: bytes | None = None) -> str:
    """What a user is shown of a file."""
    stderr, sys.stderr = sys.stderr, io.StringIO()
    try:
        content = file.encode() if isinstance(file, str) else file
        project = profile.Project("/r/.banger.toml", content, profile.parse_project("/r/.banger.toml", content))
        cli.show(project, before, Terminal())
        return sys.stderr.getvalue()
    finally:
        sys.stderr = stderr


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "device", "large"])
def test_what_is_no_plain_file_is_not_read(repository: Path, kind: str) -> None:
    path = repository / PROJECT
    if kind == "link":
        (repository.parent / "secret.toml").write_text("secret = 1\n")
        path.symlink_to("../secret.toml")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"#" * (PROJECT_LIMIT + 1))
    with pytest.raises(errors.BadSetting) as caught:
        run(repository)
    assert "secret =" not in str(caught.value)


def test_nothing_is_trusted_without_a_terminal(repository: Path, state: Path) -> None:
    (repository / PROJECT).write_text("vcpu = 2\n")
    with pytest.raises(errors.NotTrusted):
        run(repository)
    assert not state.exists()


def test_trust_is_of_the_bytes_and_of_the_place(repository: Path, state: Path) -> None:
    path = repository / PROJECT
    path.write_text("vcpu = 2\n")
    Trusted(str(state)).trust(str(path), path.read_bytes())
    assert run(repository) == {"vcpu": 2}
    for other in ("vcpu = 2 \n", "vcpu = 2\n# x\n", "vcpu = 2\nnat = true\n", ""):
        path.write_text(other)
        with pytest.raises(errors.NotTrusted):
            run(repository)
    path.write_text("vcpu = 2\n")
    moved = repository.rename(repository.parent / "moved")
    with pytest.raises(errors.NotTrusted):
        run(moved)


def test_a_repository_in_a_trusted_one_speaks_for_itself(repository: Path, state: Path) -> None:
    (repository / PROJECT).write_text("vcpu = 2\n")
    Trusted(str(state)).trust(str(repository / PROJECT), b"vcpu = 2\n")
    inner = repository / "vendor"
    (inner / ".git").mkdir(parents=True)
    assert run(inner) == {}
    (inner / PROJECT).write_text("nat = true\n")
    with pytest.raises(errors.NotTrusted):
        run(inner)


@pytest.mark.parametrize("hidden", ["\x1b[1A\x1b[2K", "\r", "\x9b2J", "\u202e", "\u2066", "\u200b", "\u2028", "\x07"])
def test_what_is_shown_cannot_hide_itself(hidden: str) -> None:
    written = "".join(f"\\u{ord(each):04x}" for each in hidden)
    raw = hidden if hidden[0] > "\x9f" else written  # TOML itself refuses most of the others
    for text in (
        f'env."{written}" = "x"', f'env.A = "{written}"', f'image = "x{written}"', f'labels."a{raw}b" = "c"',
        f'[labels]\n"{raw}" = "{raw}"',
    ):  # fmt: skip
        try:
            shown = said(text)
        except errors.BadSetting as refused:
            shown = str(refused)
        assert all(each.isprintable() for each in shown.replace("\n", "")), shown


def test_all_of_it_is_shown_however_long_it_is() -> None:
    text = "env.A = '" + "x" * 5000 + "END'\n" + "".join(f"env.B{number} = '{number}'\n" for number in range(200))
    shown = said(text)
    assert "END" in shown and all(f'env.B{number} = "{number}"' in shown for number in range(200))


def test_a_change_that_would_take_long_to_compare_does_not() -> None:
    before = "".join(f"env.A{number} = '{'xy' * 100}{number}'\n" for number in range(200))
    after = "".join(f"env.A{number} = '{'yx' * 100}{number}'\n" for number in range(200))
    assert len(said(after, before.encode()).splitlines()) == 401


def test_a_variable_of_the_host_stays_a_word(repository: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the host")
    content = b'env.A = "$SECRET ${SECRET} $(id) ~"\nlabels.x = "%(SECRET)s {SECRET}"\n'
    (repository / PROJECT).write_bytes(content)
    Trusted(str(state)).trust(str(repository / PROJECT), content)
    assert "of the host" not in str(run(repository))


def test_a_name_of_a_directory_is_no_command(repository: Path) -> None:
    named = repository.rename(repository.parent / "$(touch pwned);'")
    (named / PROJECT).write_text("vcpu = 2\n")
    with pytest.raises(errors.NotTrusted) as caught:
        run(named)
    assert "banger config trust '" in caught.value.advice and '"\'"' in caught.value.advice
