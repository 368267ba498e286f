"""Kernels as directories: the distribution's package, a directory of one's own, another agent."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from banger import errors
from banger.kernels import bzimage, kernel, package
from banger.vmm import stub
from tests import tiny_guest


def pulled() -> Path:
    """The distribution's kernel as `kernel.pull` made it."""
    return Path(tiny_guest.guest().kernel).parent


def debugfs(image: Path, command: str) -> str:
    return subprocess.run(
        ["/usr/sbin/debugfs", "-R", command, image], capture_output=True, text=True, check=True
    ).stdout


def silent(stage: str) -> None:
    """Progress that nobody watches."""


def test_a_pulled_kernel_is_complete() -> None:
    found = kernel.load(str(pulled()))
    assert set(found.files) == {kernel.BZIMAGE, kernel.VMLINUX, kernel.MODULES, kernel.INITRD}
    for name, file in found.files.items():
        assert os.path.getsize(pulled() / name) == file.size
    assert found.release == bzimage.read(str(pulled() / kernel.VMLINUX)).release
    assert not [each for each in os.listdir(pulled()) if each in ("work", "scratch", kernel.TREE)]


def test_the_modules_image_belongs_to_root_and_has_its_indexes() -> None:
    image = pulled() / kernel.MODULES
    release = kernel.load(str(pulled())).release
    assert subprocess.run(["/usr/sbin/e2fsck", "-fn", image], capture_output=True, check=False).returncode == 0
    listing = debugfs(image, f"ls -l {release}")
    for name in ("modules.dep.bin", "modules.alias.bin", "modules.builtin", "kernel"):
        assert f" {name}\n" in listing
    owners = {tuple(line.split()[3:5]) for line in listing.splitlines() if len(line.split()) > 5}
    assert owners == {("0", "0")}
    overlay = debugfs(image, f"stat {release}/kernel/fs/overlayfs/overlay.ko")
    assert "User:     0   Group:     0" in overlay
    assert "Mode:  0644" in overlay


def test_the_initrd_can_be_read_by_cpio() -> None:
    with open(pulled() / kernel.INITRD, "rb") as archive:
        listed = subprocess.run([tiny_guest.BUSYBOX, "cpio", "-t"], stdin=archive, capture_output=True, check=True)
    assert b"banger/lib/virtio_blk.ko" in listed.stdout.splitlines()


def test_a_directory_of_ones_own_is_imported_and_only_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    found = kernel.load(str(pulled()))
    tree = source / "lib/modules" / found.release / "kernel/drivers"
    tree.mkdir(parents=True)
    (source / "vmlinuz").write_bytes((pulled() / kernel.BZIMAGE).read_bytes())
    (tree / "virtio_blk.ko").write_bytes(b"\x7fELF" + bytes(100))
    before = sorted(str(each) for each in source.rglob("*"))
    agent = tmp_path / "agent"
    agent.write_bytes(b"agent one")
    made = asyncio.run(kernel.import_directory(str(source), str(tmp_path / "out"), "mine", str(agent), silent))
    assert (made.name, made.release) == ("mine", found.release)
    assert sorted(str(each) for each in source.rglob("*")) == before
    assert kernel.load(str(tmp_path / "out")) == made
    assert sorted(os.listdir(tmp_path / "out")) == sorted([*made.files, kernel.RECORD])


def test_a_kernel_with_everything_built_in_needs_no_modules(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "vmlinux").write_bytes(stub.elf() + b"Linux version 6.9.0-built-in")
    agent = tmp_path / "agent"
    agent.write_bytes(b"agent")
    made = asyncio.run(kernel.import_directory(str(source), str(tmp_path / "out"), "mine", str(agent), silent))
    assert set(made.files) == {kernel.VMLINUX, kernel.INITRD}
    assert made.release == "6.9.0-built-in"


def test_another_agent_is_put_in_and_the_same_one_changes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "vmlinux").write_bytes(stub.elf() + b"Linux version 6.9.0")
    out, agent = str(tmp_path / "out"), tmp_path / "agent"
    agent.write_bytes(b"agent one")
    first = asyncio.run(kernel.import_directory(str(source), out, "mine", str(agent), silent))
    assert asyncio.run(kernel.refresh_initrd(out, str(agent))) == first
    agent.write_bytes(b"agent two is longer")
    second = asyncio.run(kernel.refresh_initrd(out, str(agent)))
    assert second.agent != first.agent
    assert second == kernel.load(out)
    content = Path(out, kernel.INITRD).read_bytes()
    assert b"agent two is longer" in content
    assert b"agent one" not in content
    assert content.count(b"banger/modules\0") == 1


@pytest.mark.parametrize("names", [(), ("vmlinuz-1", "vmlinuz-2")])
def test_a_directory_without_one_kernel_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(errors.NotAKernel):
        asyncio.run(kernel.import_directory(str(tmp_path), str(tmp_path / "out"), "x", "/bin/busybox", silent))


def test_a_directory_that_is_no_kernel_has_no_record(tmp_path: Path) -> None:
    with pytest.raises(errors.NotAKernel):
        kernel.load(str(tmp_path))
    (tmp_path / kernel.RECORD).write_text('{"name": 3}')
    with pytest.raises(errors.NotAKernel):
        kernel.load(str(tmp_path))


def test_a_host_without_a_kernel_package_gets_debians(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "_family", lambda release: None)
    stages: list[str] = []
    tree = asyncio.run(package.fetch(str(tmp_path), stages.append))
    images = os.listdir(f"{tree}/boot")
    assert [each for each in images if each.startswith("vmlinuz-6.1") and each.endswith("-cloud-amd64")]
    assert any(stage.startswith("downloading linux-image-6.1") for stage in stages)


def test_package_lists_that_lead_nowhere_are_fetched_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = package._from_lists
    options: list[bool] = []

    async def outdated(name: str, directory: str, own: list[str], progress: package.Progress) -> list[str]:
        options.append(bool(own))
        if not own:
            raise errors.ToolFailed(tool="apt-get", status="status 100", detail="404 Not Found")
        return await real(name, directory, own, progress)

    monkeypatch.setattr(package, "_from_lists", outdated)
    tree = asyncio.run(package.fetch(str(tmp_path), silent))
    assert options == [False, True]
    assert os.listdir(f"{tree}/boot")
