"""Tools are run by descriptor, with bounded time, memory and output, and die with whoever runs them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from banger.helper import program
from banger.helper.operation import Failed
from tests.helper_server import wait_for


@pytest.fixture(autouse=True)
def plain_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools that every host has and that do one thing each."""
    names = ("cat", "sleep", "yes", "env", "false", "id", "dd", "head")
    tools = {name: (f"/usr/bin/{name}", f"/bin/{name}") for name in names} | {"none": ("/nonexistent",)}
    monkeypatch.setattr(program, "TOOLS", {**program.TOOLS, **tools})


def test_input_output_and_a_bare_environment() -> None:
    text = b"0123456789abcdef" * 40_000
    assert program.run("cat", input=text).stdout == text
    variables = dict(line.split("=", 1) for line in program.run("env").stdout.decode().splitlines())
    assert variables == dict(program.ENVIRONMENT)


def test_a_tool_that_reads_nothing_does_not_matter() -> None:
    assert program.run("head", "-c", "1", input=b"x" * 1_000_000).stdout == b"x"


def test_statuses() -> None:
    assert program.run("false", ok=(0, 1)).status == 1
    with pytest.raises(Failed, match="false ended with status 1"):
        program.run("false")
    with pytest.raises(Failed, match=r"cat ended with status 1: cat: /nonexistent/file: No such file"):
        program.run("cat", "/nonexistent/file")


def test_one_that_does_not_end() -> None:
    with pytest.raises(Failed, match=r"sleep did not end within 0\.05 s") as failed:
        program.run("sleep", "3600", timeout=0.05)
    assert failed.value.busy


def test_one_that_says_too_much_is_ended() -> None:
    with pytest.raises(Failed, match="yes said more than 100000 bytes"):
        program.run("yes", output=100_000)


def test_one_that_is_missing_or_not_roots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(Failed, match="none is not installed"):
        program.run("none")
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    monkeypatch.setattr(program, "TOOLS", {"tool": (str(tmp_path / "tool"),)})
    with pytest.raises(Failed, match="somebody other than root can write"):
        program.run("tool")


def test_bounded_memory() -> None:
    with pytest.raises(Failed, match="dd ended with status"):
        program.run("dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1", memory=64 << 20)


def test_descriptors_go_along(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("through")
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    assert program.run("cat", f"/proc/self/fd/{descriptor}", descriptors=[descriptor]).stdout == b"through"
    os.close(descriptor)


@pytest.mark.root
def test_as_somebody_else() -> None:
    said = program.run("id", user=54_321).stdout.decode()
    assert said.startswith("uid=54321 gid=54321 groups=54321")


@pytest.mark.root
@pytest.mark.parametrize("spoilt", ["group", "owner", "directory", "link"])
def test_programs_that_somebody_could_have_changed(spoilt: str) -> None:
    place = Path("/var/lib/banger-test-programs")
    place.mkdir(mode=0o755)
    tool = place / "tool"
    try:
        tool.write_bytes(b"#!/bin/sh\n")
        tool.chmod(0o755)
        os.close(program.open_executable(str(tool)))
        if spoilt == "group":
            tool.chmod(0o775)
        elif spoilt == "owner":
            os.chown(tool, 54_321, 0)
        elif spoilt == "directory":
            os.chown(place, 54_321, 0)
        else:
            (place / "other").mkdir()
            tool.rename(place / "other" / "tool")
            os.chown(place / "other", 54_321, 0)
            tool.symlink_to("other/tool")
        with pytest.raises(Failed, match="somebody other than root can write"):
            program.open_executable(str(tool))
    finally:
        subprocess.run(["rm", "-r", str(place)], check=True)


DIES = """
import sys
from banger.helper import program
program.TOOLS = {"sleep": ("/usr/bin/sleep", "/bin/sleep")}
print("running", flush=True)
program.run("sleep", "3600.25", timeout=3600)
"""


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_tool_dies_with_the_request() -> None:
    request = subprocess.Popen([sys.executable, "-c", DIES])
    wait_for(lambda: children(request.pid))
    (tool,) = children(request.pid)
    wait_for(lambda: b"sleep" in Path(f"/proc/{tool}/cmdline").read_bytes())
    watch = os.pidfd_open(tool)
    request.send_signal(signal.SIGKILL)
    request.wait()
    wait_for(lambda: gone(watch))
    os.close(watch)


def gone(pidfd: int) -> bool:
    from banger.helper import process

    return not process.alive(pidfd)
