"""The doctor's rows on how large machines are."""

import pytest

from banger.config import defaults
from banger.config.defaults import Origin
from banger.config.settings import build
from banger.config.sizes import GIB
from banger.daemon.checks import Found
from banger.daemon.checks.sizes import ROWS


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "processors", lambda: 8)
    monkeypatch.setattr(defaults, "memory", lambda: 16 * GIB)


def rows(**configured: int) -> dict[str, Found]:
    names = {f"vm_defaults.{name}": value for name, value in configured.items()}
    config = build(names, dict.fromkeys(names, Origin("system", "/etc/config.toml", 7)))
    return {name.removeprefix("a machine's "): row(config) for name, row in ROWS.items()}


def test_each_size_is_told_with_who_decided_it() -> None:
    assert rows(disk_size=4 * GIB) == {
        "processors": ("pass", "2 processors: a quarter of 8 processors, at most 4", ""),
        "memory": ("pass", "2 GiB: an eighth of 16 GiB, at most 8 GiB", ""),
        "disk": ("pass", "4 GiB: /etc/config.toml:7", ""),
        "work disk": ("pass", "8 GiB: built in; config.toml can say otherwise", ""),
    }


def test_more_than_the_host_has_is_named_with_the_setting_to_lower() -> None:
    found = rows(vcpu=16, memory=32 * GIB)
    assert found["processors"][0] == "warn" and "the host has 8 processors" in found["processors"][1]
    assert found["memory"][0] == "fail" and "lower vm_defaults.memory in /etc/config.toml:7" in found["memory"][2]
