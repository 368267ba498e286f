"""Every record is durable before the act that it tells of: a daemon under strace."""

import sys
from pathlib import Path

import pytest

from banger.api.image import ImportImage
from tests.installation import MIB
from tests.matrix import trace
from tests.matrix.trace import Act
from tests.matrix.witness import MACHINE
from tests.matrix.world import World, world

ACTS = [
    Act("image.import", "fetch", ("mkdir",), "/staging/image-"),
    Act("image.import", "publish", ("rename",), '/images/'),
    Act("vm.create", "disk", ("mkdir",), "/state/vms/"),
    Act("vm.create", "initrd", ("openat",), "initrd.cpio.new"),
    Act("vm.create", "monitor", ("mkdir",), "/r/vms/"),
    Act("vm.create", "monitor", ("execve",), "fake/machine.py"),
    Act("vm.stop", "switch-off", ("rmdir",), "/r/vms/"),
    Act("vm.delete", "files", ("unlink", "unlinkat"), 'disk.qcow2"'),
    Act("vm.delete", "files", ("rmdir",), "/state/vms/"),
]  # fmt: skip


def session(made: World) -> None:
    request = ImportImage(path=f"{made.directory}/tiny.tar", name="made", size=64 * MIB)
    made.done(made.client.image_import(request))
    made.done(made.create(image="made"))
    made.done(made.client.vm_stop(MACHINE, 20))
    made.done(made.client.vm_delete(MACHINE))


def test_what_is_done_was_on_record_and_durable_before() -> None:
    with world("fake", lambda made: None) as made:
        log = made.directory / "trace"
        program = made.start_program(trace.command(log, [sys.executable, "-m", "banger.daemon.main"]))
        session(made)
        made.client.daemon_stop()
        assert program.wait(60) == 0
        assert trace.judge(log, ACTS) == []


TRACE = """\
1  pwrite64(5</s/banger.db-wal>, "{\\"kind\\":\\"vm.create\\",\\"step\\":\\"disk\\"}", 9, 0) = 9
FIRST
SECOND
1  fsync(7</s/vms/1/handles.json.new>) = 0
1  rename("/s/vms/1/handles.json.new", "/s/vms/1/handles.json") = 0
1  fsync(7</s/vms/1>) = 0
"""


def text(first: str, second: str) -> str:
    return TRACE.replace("FIRST", first).replace("SECOND", second)


SYNC, MAKE = "1  fdatasync(5</s/banger.db-wal>) = 0", '1  mkdir("/s/vms/1", 0700) = 0'


@pytest.mark.parametrize(
    ("log", "fault"),
    [
        (text(SYNC, MAKE), ""),
        (text(MAKE, SYNC), "before its record was durable"),
        (text(MAKE, ""), "before its record was durable"),
        (text(SYNC, ""), "never did what it does"),
        (text(SYNC, MAKE).replace("disk", "desk"), "never on record"),
        (
            text(SYNC, MAKE).replace("fsync(7</s/vms/1/h", "close(7</s/vms/1/h"),
            "was renamed before",
        ),
        (text(SYNC, MAKE).replace("fsync(7</s/vms/1>", "close(7</s/vms/1>"), "is not durable"),
    ],
)
def test_the_judge_sees_a_wrong_order(tmp_path: Path, log: str, fault: str) -> None:
    (tmp_path / "trace").write_text(log)
    found = trace.judge(tmp_path / "trace", [Act("vm.create", "disk", ("mkdir",), "/s/vms/")])
    assert (fault in found[0]) if fault else found == []
