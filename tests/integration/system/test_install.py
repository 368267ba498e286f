"""An installation into a directory that stands for a host: the real files, without systemd.

What the services need besides is proven on a whole host (tests/smoke/test_install.py).
"""

import json
import os
import pwd
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from banger.system import environment, shared, units
from banger.system.layout import HELPER, LINKS, VENV

TREE = Path(__file__).parents[3]
INSTALL = "import sys; from banger.system.install import Wish, install; install(Wish(sys.argv[1]), sys.argv[2])"


SHARED = ("man/man1/banger.1", "man/man5/banger-config.5", "zsh/site-functions/_banger", "elsewhere/file")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What makes of the source tree an installed package: its metadata."""
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    place = tmp_path_factory.mktemp("site")
    metadata = place / "banger-9.8.7.dist-info"
    metadata.mkdir()
    requires = "".join(f"Requires-Dist: {each}\n" for each in project["dependencies"])
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: banger\nVersion: 9.8.7\n{requires}")
    recorded = ["banger-9.8.7.dist-info/METADATA", "banger-9.8.7.dist-info/RECORD"]
    for name in SHARED:
        (place.parent / "share" / name).parent.mkdir(parents=True, exist_ok=True)
        (place.parent / "share" / name).write_text(f"of {name}\n")
        recorded.append(f"../share/{name}")
    (metadata / "RECORD").write_text("".join(f"{name},,\n" for name in recorded))
    return place


def install(package: Path, root: Path, owner: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(package), str(TREE / "src")))
    return subprocess.run(
        [sys.executable, "-c", INSTALL, owner, str(root)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )


def inventory(root: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(root)): (path.lstat().st_mode, path.lstat().st_uid) for path in root.rglob("*")
    }  # fmt: skip


@pytest.fixture(scope="module")
def owner() -> pwd.struct_passwd:
    """Some user of this host who is not root."""
    return next(each for each in pwd.getpwall() if each.pw_uid != 0)


@pytest.fixture(scope="module")
def root(package: Path, owner: pwd.struct_passwd, tmp_path_factory: pytest.TempPathFactory) -> Path:
    reason = environment.not_roots(os.path.realpath(sys.executable))
    assert not reason, f"the tests need an interpreter of root's: {reason}"
    place = tmp_path_factory.mktemp("host")
    done = install(package, place, owner.pw_name)
    assert done.returncode == 0, done.stderr
    return place


def test_every_file_has_its_owner_and_mode(root: Path, owner: pwd.struct_passwd) -> None:
    found = inventory(root)
    for path, (mode, _) in found.items():
        if not stat.S_ISLNK(mode):
            assert not mode & 0o022, f"others can write {path}"
    modes = {path: stat.S_IMODE(mode) for path, (mode, _) in found.items()}
    assert modes["var/lib/banger"] == modes["var/cache/banger"] == 0o700
    assert modes["var/lib/banger-root"] == modes["var/lib/banger-root/jails"] == 0o711
    assert modes[HELPER[1:]] == modes["etc/banger/install.json"] == 0o644
    assert {f"etc/systemd/system/{name}" for name in units.NAMES} < set(found)
    if os.geteuid() == 0:
        theirs = {path for path, (_, uid) in found.items() if uid != 0}
        assert theirs == {"var/lib/banger", "var/cache/banger"}
        assert {found[path][1] for path in theirs} == {owner.pw_uid}


def test_the_record_says_what_was_decided(root: Path, owner: pwd.struct_passwd) -> None:
    record = json.loads((root / "etc/banger/install.json").read_text())
    assert (record["owner"], record["owner_uid"], record["version"]) == (owner.pw_name, owner.pw_uid, "9.8.7")
    assert record["private"] == "/var/lib/banger-root"


def test_the_copy_stands_alone(root: Path, tmp_path: Path) -> None:
    for link, target in LINKS.items():
        assert os.readlink(root / link[1:]) == target
    copy = root / VENV[1:]
    script = (copy / "bin/banger").read_text()
    assert script.startswith(f"#!{VENV}/bin/python3 -IS\n")
    here = tmp_path / "banger"
    here.write_text(script.replace(VENV, str(copy)))
    done = subprocess.run(
        [str(copy / "bin/python3"), "-IS", str(here), "--version"],
        capture_output=True, text=True, timeout=60, cwd="/", check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("banger 9.8.7\n", "")
    loaded = "import banger.daemon.main, starlette, msgspec, banger; print(banger.__path__[0], starlette.__path__[0])"
    done = subprocess.run(
        [str(copy / "bin/python3"), "-I", "-c", loaded],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        check=False,
    )
    assert all(each.startswith(str(copy)) for each in done.stdout.split()), done.stderr
    assert len(done.stdout.split()) == 2


def test_pages_and_scripts_are_linked_to_where_the_host_looks(root: Path) -> None:
    share = root / "usr/local/share"
    found = {str(path.relative_to(share)): os.readlink(path) for path in share.rglob("*") if path.is_symlink()}
    assert found == {name: f"{VENV}/share/{name}" for name in SHARED if not name.startswith("elsewhere")}
    assert all((root / target[1:]).read_text() == f"of {name}\n" for name, target in found.items())


def test_pages_and_scripts_go_again_and_nothing_of_others_does(package: Path, tmp_path: Path) -> None:
    share = tmp_path / "usr/local/share"
    (share / "man/man1").mkdir(parents=True)
    (share / "man/man1/banger.1").write_text("somebody else's\n")
    (share / "man/man1/banger-gone.1").symlink_to(f"{VENV}/share/man/man1/banger-gone.1")
    before = inventory(tmp_path)
    owner = next(each for each in pwd.getpwall() if each.pw_uid != 0)
    assert install(package, tmp_path, owner.pw_name).returncode == 0
    assert not (share / "man/man1/banger-gone.1").is_symlink()
    made = json.loads((tmp_path / "etc/banger/install.json").read_text())["shared"]
    assert "/usr/local/share/man/man5" in made and "/usr/local/share/man/man1" not in made
    for _ in range(2):  # may be repeated
        shared.remove(str(tmp_path), made)
    left = {path for path in inventory(tmp_path) if path.startswith("usr/local/share")}
    assert left == {path for path in before if path.startswith("usr/local/share")} - {
        "usr/local/share/man/man1/banger-gone.1"
    }
    assert (share / "man/man1/banger.1").read_text() == "somebody else's\n"


def test_it_may_be_repeated_but_has_one_owner(package: Path, root: Path, owner: pwd.struct_passwd) -> None:
    before = inventory(root)
    done = install(package, root, owner.pw_name)
    assert (done.returncode, done.stderr) == (0, "")
    assert inventory(root) == before
    other = next(each for each in pwd.getpwall() if each.pw_uid not in (0, owner.pw_uid))
    done = install(package, root, other.pw_name)
    assert f"banger is installed here for {owner.pw_name}, and has one owner" in done.stderr
    assert inventory(root) == before


def test_what_fails_leaves_nothing(package: Path, tmp_path: Path, owner: pwd.struct_passwd) -> None:
    (tmp_path / "etc/systemd/system" / units.DAEMON_SERVICE).mkdir(parents=True)  # in the way of the last unit
    before = inventory(tmp_path)
    done = install(package, tmp_path, owner.pw_name)
    assert "InstallRefused" in done.stderr
    assert inventory(tmp_path) == before
