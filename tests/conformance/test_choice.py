"""Which driver there is, and which one new machines get."""

from pathlib import Path

import pytest

from banger import errors
from banger.vmm import drivers
from banger.vmm.driver import Availability, Features, LaunchSpec
from tests.driver_bench import run


@pytest.mark.qemu
def test_without_qemu_its_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    driver = drivers.by_name("qemu", str(tmp_path / "cache"))
    found = run(driver.availability())
    assert not found.usable
    assert found.reason == "qemu-system-x86_64 is not installed"
    assert found.mend == "sudo apt-get install qemu-system-x86"
    spec = LaunchSpec(
        vm_id="0", directory=str(tmp_path), runtime=str(tmp_path), kernel="/k", initrd="/i", cmdline=(), vcpus=1,
        memory=1 << 28, drives=(),
    )  # fmt: skip
    with pytest.raises(errors.ToolMissing):
        run(driver.launch(spec))


class Monitor:
    """As much of a driver as is asked before one is chosen."""

    def __init__(self, name: str, usable: bool) -> None:
        self.name = name
        self.usable = usable

    async def availability(self) -> Availability:
        features = Features(accelerated=True, user_networking=True, vsock=True, snapshot=False, jail=True)
        return Availability(usable=self.usable, reason="", features=features)


@pytest.mark.parametrize("meant", ["firecracker", "qemu"])
@pytest.mark.parametrize("working", [("firecracker", "qemu"), ("firecracker",), ("qemu",), ()])
def test_firecracker_comes_first_and_is_looked_at_until_it_works(
    working: tuple[str, ...], meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(drivers.VARIABLE, raising=False)
    made = {name: Monitor(name, name in working) for name in ("firecracker", "qemu")}
    monkeypatch.setattr(drivers, "by_name", lambda name, *_: made[name])
    known = drivers.Drivers("/nowhere", privileged=object(), meant=meant)  # type: ignore[arg-type]
    assert run(known.choose()).name == (working or (meant,))[0]
    made["firecracker"].usable = True
    assert run(known.choose()).name == "firecracker"


def test_the_fake_driver_is_chosen_by_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(drivers.VARIABLE, raising=False)
    assert run(drivers.Drivers("/nowhere").choose()).name == "qemu"
    monkeypatch.setenv(drivers.VARIABLE, "fake")
    assert run(drivers.Drivers("/nowhere", "qemu").choose()).name == "fake"
    for name in ("firecraker", "firecracker"):  # the one there is not, the other needs the root helper
        with pytest.raises(errors.UsageError):
            drivers.by_name(name, "/nowhere")
