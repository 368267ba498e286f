"""Which driver there is, and which one new machines get."""

from pathlib import Path

import pytest

from banger import errors
from banger.vmm import drivers
from banger.vmm.driver import LaunchSpec
from tests.driver_bench import run


@pytest.mark.qemu
def test_without_qemu_its_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    driver = drivers.by_name("qemu", str(tmp_path / "cache"))
    found = run(driver.availability())
    assert not found.usable
    assert "qemu-system-x86" in found.reason
    spec = LaunchSpec(
        vm_id="0", directory=str(tmp_path), runtime=str(tmp_path), kernel="/k", initrd="/i", cmdline=(), vcpus=1,
        memory=1 << 28, drives=(),
    )  # fmt: skip
    with pytest.raises(errors.ToolMissing):
        run(driver.launch(spec))


def test_the_fake_driver_is_chosen_by_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(drivers.VARIABLE, raising=False)
    assert run(drivers.Drivers("/nowhere").choose()).name == "qemu"
    monkeypatch.setenv(drivers.VARIABLE, "fake")
    assert run(drivers.Drivers("/nowhere", "qemu").choose()).name == "fake"
    for name in ("firecraker", "firecracker"):  # the one there is not, the other needs the root helper
        with pytest.raises(errors.UsageError):
            drivers.by_name(name, "/nowhere")
