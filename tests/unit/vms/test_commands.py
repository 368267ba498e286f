"""What the agent is asked to run."""

import msgspec
import pytest

from banger import errors
from banger.api.image import ImageConfig
from banger.api.vm import ExecVm
from banger.api.workspace import Workspace
from banger.bootstrap.guest import SHIMS
from banger.vms import commands

CONFIG = ImageConfig(
    entrypoint=["/entry", "--flag"],
    cmd=["serve"],
    env=["PATH=/image", "FROM=image", "EMPTY=", "WITH=a=b"],
    cwd="/srv",
    user="worker",
)


def test_the_images_wishes_hold_where_nobody_says_otherwise() -> None:
    spec = commands.exec_spec(ExecVm(argv=["ls"]), CONFIG, {})
    assert (spec.argv, spec.cwd, spec.user) == (("ls",), "/srv", "worker")
    assert spec.env == {"PATH": "/image", "FROM": "image", "EMPTY": "", "WITH": "a=b"}


def test_the_machine_wins_over_the_image_and_the_request_over_both() -> None:
    request = ExecVm(argv=["ls"], env={"FROM": "request"}, cwd="/opt", user="root")
    spec = commands.exec_spec(request, CONFIG, {"FROM": "machine", "PATH": "/machine"})
    assert (spec.env["FROM"], spec.env["PATH"], spec.cwd, spec.user) == ("request", "/machine", "/opt", "root")


@pytest.mark.parametrize(
    ("argv", "entrypoint", "expected"),
    [
        (["ls"], False, ("ls",)),
        (["ls"], True, ("/entry", "--flag", "ls")),
        ([], True, ("/entry", "--flag", "serve")),
        ([], False, commands.LOGIN_SHELL),
    ],
)
def test_the_entrypoint_is_used_when_it_is_asked_for(
    argv: list[str], entrypoint: bool, expected: tuple[str, ...]
) -> None:
    assert commands.exec_spec(ExecVm(argv=argv, entrypoint=entrypoint), CONFIG, {}).argv == expected


def test_a_login_shell_begins_at_home_unless_a_place_is_named() -> None:
    plain = ImageConfig()
    assert commands.exec_spec(ExecVm(argv=[]), plain, {}).argv == commands.LOGIN_SHELL_AT_HOME
    assert commands.exec_spec(ExecVm(argv=[], entrypoint=True), plain, {}).argv == commands.LOGIN_SHELL_AT_HOME
    assert commands.exec_spec(ExecVm(argv=[], cwd="/opt"), plain, {}).argv == commands.LOGIN_SHELL


def test_a_terminal_has_a_size_and_an_input() -> None:
    spec = commands.exec_spec(ExecVm(argv=["top"], tty=True, rows=50, cols=132), CONFIG, {})
    assert spec.tty == (50, 132) and spec.stdin
    assert commands.exec_spec(ExecVm(argv=["top"]), CONFIG, {}).tty is None


@pytest.mark.parametrize("env", [{"A B": "c"}, {"": "x"}, {"A=": "x"}, {"A": "x\0y"}, {"1A": "x"}])
def test_what_is_no_environment_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(errors.UsageError):
        commands.exec_spec(ExecVm(argv=["ls"], env=env), CONFIG, {})


WORKSPACE = Workspace(id="1", path="/root/app", source="/src/app", complete=True, imported=0.0)


def test_root_s_commands_run_in_the_workspace() -> None:
    plain = ImageConfig(cwd="/srv")
    for user in (None, "0", "root", "root:wheel", "0:0", ":wheel"):
        request = ExecVm(argv=[], user=user)
        assert commands.place(request, plain, WORKSPACE) == WORKSPACE
    spec = commands.exec_spec(request, plain, {}, WORKSPACE)
    assert (spec.cwd, spec.argv) == ("/root/app", commands.LOGIN_SHELL)


def test_root_s_commands_find_the_tools_of_a_repository_before_the_image_s() -> None:
    image = ImageConfig(env=["PATH=/image"])
    for request in (ExecVm(argv=["go"]), ExecVm(argv=["go"], cwd="/opt"), ExecVm(argv=["go"], user="root:wheel")):
        assert commands.exec_spec(request, image, {}, WORKSPACE).env["PATH"] == f"{SHIMS}:/image"
    assert commands.exec_spec(request, ImageConfig(), {}, WORKSPACE).env["PATH"].startswith(f"{SHIMS}:/usr/local/sbin:")
    assert commands.exec_spec(request, image, {}).env["PATH"] == "/image"
    assert commands.exec_spec(ExecVm(argv=["go"], user="worker"), image, {}, WORKSPACE).env["PATH"] == "/image"
    assert commands.exec_spec(ExecVm(argv=["go"], env={"PATH": "/x"}), image, {}, WORKSPACE).env["PATH"] == "/x"


def test_mise_is_looked_for_in_the_images_path_and_where_it_installs_itself() -> None:
    assert commands.places_of_mise(ImageConfig())[0] == "/usr/local/sbin/mise"
    places = commands.places_of_mise(ImageConfig(env=["PATH=/image::bin:/opt/tools"]))
    assert places[:2] == ["/image/mise", "/opt/tools/mise"], "what is relative is nowhere in particular"
    assert "/root/.local/bin/mise" in places


def test_others_do_not_and_neither_does_who_names_a_place() -> None:
    assert commands.place(ExecVm(argv=["ls"], user="worker"), ImageConfig(), WORKSPACE) is None
    assert commands.place(ExecVm(argv=["ls"]), CONFIG, WORKSPACE) is None
    assert commands.place(ExecVm(argv=["ls"], user="root"), CONFIG, WORKSPACE) == WORKSPACE
    assert commands.place(ExecVm(argv=["ls"], cwd="/opt"), ImageConfig(), WORKSPACE) is None
    assert commands.exec_spec(ExecVm(argv=["ls"], cwd="/opt"), ImageConfig(), {}).cwd == "/opt"


def test_there_is_no_place_without_a_workspace_that_came_whole() -> None:
    assert commands.place(ExecVm(argv=["ls"]), ImageConfig(), None) is None
    broken = msgspec.structs.replace(WORKSPACE, complete=False)
    assert commands.place(ExecVm(argv=["ls"]), ImageConfig(), broken) is None
