"""The tools of a repository in a machine, in real guests whose mise notes what it is asked."""

from pathlib import Path

import pytest

from banger.bootstrap import guest
from tests import guest_images
from tests.home import Home
from tests.integration.workspace.conftest import Repo

SMALL = ("--image", "mise", "--memory", "256M")
NOTING = """\
#!/bin/sh
echo "$PWD: $*" >>/root/notes
[ "$*" != "${REFUSED:-}" ] || { printf 'no \\033[31msuch version\\n' >&2; exit 1; }
case $* in use*)
    mkdir -p /root/.local/share/mise/shims
    printf '#!/bin/sh\\necho "go of mise in $PWD"\\n' >/root/.local/share/mise/shims/go
    chmod +x /root/.local/share/mise/shims/go;;
esac
"""
DEBIANS_PROFILE = """\
PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export PATH
for i in /etc/profile.d/*.sh; do if [ -r $i ]; then . $i; fi; done
"""
ASKED = [f"/root/app: {words}" for words in ("trust /root/app", "install", "use --global go@1.22")]
LOG = "/root/.cache/banger/bootstrap-app.log"


@pytest.fixture(scope="module")
def equipped(shared_room: Home, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An image with such a mise, where mise's own installer puts it, and login shells that forget their PATH."""
    mise = guest_images.Tar().directory("root").directory("root/.local").directory("root/.local/bin")
    mise.file("root/.local/bin/mise", NOTING.encode(), 0o755)
    mise.file("etc/profile", DEBIANS_PROFILE.encode()).directory("etc/profile.d")
    layers = [guest_images.busybox_tar(), mise.bytes()]
    config = {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin:/sbin"]}
    reference = guest_images.write_layout(tmp_path_factory.mktemp("mise"), layers, config=config)
    shared_room.banger("image", "pull", reference, "--name", "mise", check=True, timeout=300)


@pytest.fixture
def app(tmp_path: Path) -> str:
    repo = Repo(tmp_path / "app")
    repo.commit(
        **{
            "mise.toml": '[tools]\nnode = "20"\n',
            "go.mod": "module app\n\ngo 1.22\n",
            ".nvmrc": "18\n",
            ".python-version": "pypy3.10-7.3.16\n",
        }
    )
    return str(repo.top)


@pytest.mark.qemu
@pytest.mark.usefixtures("equipped")
def test_a_detached_machine_has_its_tools_when_it_is_handed_over(room: Home, app: str) -> None:
    done = room.banger("run", app, "-d", "--name", "tools", *SMALL, check=True)
    assert done.stdout == "tools\n"
    assert "installing: mise.toml, go 1.22 (go.mod)\n" in done.stderr
    assert "  + mise use --global go@1.22\n  all tools are there\n" in done.stderr
    assert ".python-version: 'pypy3.10-7.3.16' is no version of python that is known here\n" in done.stderr
    assert "node" not in done.stderr, "what mise manages is no news"
    noted = room.banger("exec", "tools", "--", "cat", "/root/notes", check=True).stdout
    assert noted.splitlines() == ASKED
    for words in (["exec", "tools", "--", "go", "version"], ["exec", "tools", "--", "sh", "-lc", "go version"]):
        assert room.banger(*words, check=True).stdout == "go of mise in /root/app\n"
    assert room.banger("exec", "-w", "/srv", "tools", "--", "go", check=True).stdout == "go of mise in /srv\n"
    logged = room.banger("exec", "tools", "--", "cat", LOG, check=True).stdout
    assert logged.endswith("all tools are there\n")
    room.banger("rm", "tools", check=True)


@pytest.mark.qemu
@pytest.mark.usefixtures("equipped")
def test_what_fails_is_said_and_leaves_the_machine(room: Home, app: str) -> None:
    done = room.banger("run", app, "-d", "--name", "tools", "-e", "REFUSED=install", *SMALL, check=True)
    assert "  no \\x1b[31msuch version\n" in done.stderr, "what a guest says is printable"
    assert f"not all tools were installed: {LOG} in tools says why\n" in done.stderr
    noted = room.banger("exec", "tools", "--", "cat", "/root/notes", check=True).stdout
    assert noted.splitlines() == ASKED, "the next is tried"
    room.banger("rm", "tools", check=True)


@pytest.mark.qemu
@pytest.mark.usefixtures("equipped")
def test_a_shell_does_not_wait(room: Home, app: str) -> None:
    typed = f"until grep -q 'tools are there' {LOG}; do sleep 0.1; done 2>/dev/null; cat /root/notes; go\n"
    done = room.banger("run", app, "--rm", *SMALL, stdin=typed.encode(), check=True)
    assert done.stdout.splitlines() == [*ASKED, "go of mise in /root/app"]
    assert f"installing in the background: mise.toml, go 1.22 (go.mod); what it says is in {LOG}\n" in done.stderr


@pytest.mark.qemu
@pytest.mark.usefixtures("equipped")
@pytest.mark.parametrize("words", [("--", "ls", "/root/notes"), ("--no-bootstrap",)], ids=["command", "no-bootstrap"])
def test_a_command_does_without_and_so_does_who_says_so(room: Home, app: str, words: tuple[str, ...]) -> None:
    done = room.banger("run", app, "--rm", *SMALL, *words, stdin=b"ls /root/notes\n")
    assert done.status == 1 and "No such file" in done.stderr
    assert "install" not in done.stderr


@pytest.mark.qemu
def test_an_image_without_mise_is_told_of(room: Home, app: str) -> None:
    done = room.banger("run", app, "--rm", "--image", "busybox", "--memory", "256M", stdin=b"echo shell\n", check=True)
    assert done.stdout == "shell\n"
    assert f"{guest.NO_MISE}\n" in done.stderr
    assert done.stderr.count("mise") == guest.NO_MISE.count("mise"), "it is told once"


def test_a_dry_run_foretells_it(room: Home, app: str) -> None:
    done = room.banger("run", app, "--dry-run", check=True)
    assert "would be installed: mise.toml, go 1.22 (go.mod)\n" in done.stderr
    assert ".nvmrc: node is in a file of mise's\n" in done.stderr
