"""What the operations on a machine's file system refuse before anything is opened, and what travels."""

import os
from pathlib import Path

import pytest

from banger.helper import device_mapper, mapper, values
from banger.helper.ext4 import EDIT_LIMIT, Ext4Read, Ext4Write, SnapshotCheck
from banger.helper.guest_file import Directory, GuestFile, Owner, Remove
from banger.helper.host import Host
from banger.helper.operation import Failed, Operation, Refused

MACHINE = "0123456789abcdef"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    paths = {name: str(tmp_path / name) for name in ("private", "runtime", "state")}
    return Host(owner_uid=os.geteuid(), owner_gid=os.getegid(), **paths)  # type: ignore[arg-type]


def test_an_edit_is_the_same_after_it_has_travelled() -> None:
    asked = Ext4Write(
        vm_id=MACHINE,
        files=(GuestFile("/etc/hostname", b"\x00\xff"), GuestFile("/l", target="x", uid=7)),
        directories=(Directory("/d", 0o700),),
        removals=(Remove("/r"),),
        owners=(Owner("/o", 1, 2), Owner("/p", 1, 2, 0o600)),
    )
    assert values.decode(Ext4Write, values.encode(asked)) == asked


@pytest.mark.parametrize(
    "edit",
    [
        GuestFile("/etc/passwd", source="/etc/shadow"),
        GuestFile("relative"),
        GuestFile("/a/../../b"),
        GuestFile("/a\nrm /b"),
        GuestFile("/a", target="x\rrm /b"),
        GuestFile("/a", target=""),
        GuestFile("/" + "n" * 256),
        GuestFile("/"),
        GuestFile("/a", uid=-1),
        GuestFile("/a", gid=1 << 32),
        GuestFile("/a", mode=-1),
    ],
    ids=repr,
)
def test_edits_that_are_refused(host: Host, edit: GuestFile) -> None:
    asked = Ext4Write(vm_id=MACHINE, files=(edit,))
    with pytest.raises(Refused) as refused:
        asked.validate(host)
    assert str(refused.value).isprintable() and asked.describe().isprintable()


def test_too_many_edits_and_two_of_one_path(host: Host) -> None:
    with pytest.raises(Refused, match="more than"):
        Ext4Write(vm_id=MACHINE, removals=tuple(Remove(f"/{n}") for n in range(EDIT_LIMIT + 1))).validate(host)
    with pytest.raises(Refused, match="twice"):
        Ext4Write(vm_id=MACHINE, removals=(Remove("/a"),), files=(GuestFile("/a"),)).validate(host)


@pytest.mark.parametrize("machine", ["", "../x", "fc-rootfs-x", MACHINE + "0", MACHINE + "\n"])
def test_names_outside_the_grammar(host: Host, machine: str) -> None:
    asked: tuple[Operation, ...] = (
        SnapshotCheck(vm_id=machine), Ext4Read(vm_id=machine, path="/a"), Ext4Write(vm_id=machine),
    )  # fmt: skip
    for each in asked:
        with pytest.raises(Refused):
            each.validate(host)
        with pytest.raises(Refused):
            each.execute(host)
        assert each.describe().isprintable()


def _status(uuid: str, minor: int) -> device_mapper.Status:
    return device_mapper.Status(uuid, os.makedev(253, minor), 0)


def _pretend(monkeypatch: pytest.MonkeyPatch, mapped: dict[str, device_mapper.Status]) -> None:
    """The kernel's devices by name."""
    monkeypatch.setattr(device_mapper, "find", mapped.get)
    monkeypatch.setattr(device_mapper, "names", lambda: list(mapped))


def test_a_machine_without_a_disk_and_one_whose_name_somebody_took(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped: dict[str, device_mapper.Status] = {}
    _pretend(monkeypatch, mapped)
    asked: tuple[Operation, ...] = (SnapshotCheck(vm_id=MACHINE), Ext4Read(vm_id=MACHINE, path="/a"))
    for each in asked:
        with pytest.raises(Failed, match="no disk attached"):
            each.execute(host)
    mapped |= {f"fc-rootfs-{MACHINE}": _status("LVM-abc", 0), "vg0-root": _status(f"banger-{MACHINE}", 1)}
    for each in asked:
        with pytest.raises(Refused, match="not banger's"):
            each.execute(host)
    assert mapper.devices() == []
    mapped[f"fc-rootfs-{MACHINE[::-1]}"] = _status(f"banger-{MACHINE[::-1]}", 2)
    assert [each.machine for each in mapper.devices()] == [MACHINE[::-1]]


def test_a_work_disk_is_known_by_a_name_and_a_uuid_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = {
        f"fc-rootfs-{MACHINE}": _status(f"banger-{MACHINE}", 0),
        f"fc-work-{MACHINE}": _status(f"banger-work-{MACHINE}", 1),
        f"fc-work-{MACHINE[::-1]}": _status(f"banger-{MACHINE[::-1]}", 2),
        f"fc-work-{MACHINE[1:]}0": _status("LVM-abc", 3),
        "fc-work-x": _status("banger-work-x", 4),
    }
    _pretend(monkeypatch, mapped)
    root, work = mapper.find(MACHINE), mapper.find(MACHINE, work=True)
    assert root is not None and work is not None and (root.number, work.number) == ("253:0", "253:1")
    assert [(each.machine, each.number) for each in mapper.devices()] == [(MACHINE, "253:0"), (MACHINE, "253:1")]
    with pytest.raises(Refused, match="not banger's"):
        mapper.find(MACHINE[::-1], work=True)
    removed: list[str] = []

    def remove(name: str) -> None:
        removed.append(name)
        del mapped[name]

    monkeypatch.setattr(device_mapper, "remove", remove)
    mapper.remove_all(MACHINE)
    assert removed == [f"fc-work-{MACHINE}", f"fc-rootfs-{MACHINE}"]
