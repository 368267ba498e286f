"""The configuration file against the table of settings."""

from pathlib import Path

import msgspec
import pytest

from banger import errors
from banger.config import loader
from banger.config.defaults import Origin
from banger.config.loader import load
from banger.config.settings import SETTINGS, Config, VmDefaults, build
from banger.config.sizes import GIB, MIB
from banger.vmm.driver import Limits
from banger.vms import boot


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BANGER_LOG_LEVEL", raising=False)


def write(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def test_the_table_and_the_typed_result_have_the_same_names() -> None:
    flat = [each.name for each in msgspec.structs.fields(Config) if each.name not in ("vm_defaults", "origins")]
    nested = [f"vm_defaults.{each.name}" for each in msgspec.structs.fields(VmDefaults)]
    tables = [setting.name for setting in SETTINGS if setting.head]
    assert [*(each for each in flat if each not in tables), *nested, *tables] == [each.name for each in SETTINGS]


def test_what_machines_may_have_of_the_hosts_disks(tmp_path: Path) -> None:
    assert boot.limits(build({})) == Limits(io_bytes=0, io_operations=0)
    text = "disk_bytes_per_second = '100M'\ndisk_operations_per_second = 2000\n"
    limits = boot.limits(load(write(tmp_path / "c.toml", text)))
    assert limits == Limits(io_bytes=100 * MIB, io_operations=2000)


def test_every_default_passes_its_own_parser() -> None:
    for setting in SETTINGS:
        if setting.default is not None and not setting.head and not setting.sized:
            assert setting.parse(setting.default) == setting.default


def test_a_missing_file_and_an_empty_one_are_the_defaults(tmp_path: Path) -> None:
    assert load(str(tmp_path / "none.toml")) == load(write(tmp_path / "c.toml", "")) == build({})
    config = build({})
    assert config.default_image == "debian-bookworm"
    assert 1 <= config.vm_defaults.vcpu <= 4
    assert 512 * MIB <= config.vm_defaults.memory <= 8 * GIB
    assert config.vm_defaults.disk_size == config.vm_defaults.work_disk_size == 8 * GIB


def test_values_are_read_as_their_types(tmp_path: Path) -> None:
    config = load(
        write(
            tmp_path / "c.toml",
            'default_image = "alpine"\nboot_timeout = 7\nconsole_limit = "2M"\n[vm_defaults]\nvcpu = 2\nmemory = 768\n',
        )
    )
    assert config.default_image == "alpine"
    assert config.boot_timeout == 7.0
    assert config.console_limit == 2 * MIB
    assert config.vm_defaults == VmDefaults(
        vcpu=2,
        memory=768 * MIB,
        disk_size=8 * GIB,
        work_disk_size=8 * GIB,
        host_loopback=False,
        nat=False,
        private=False,
        peers=False,
    )


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("default_imgae = 'x'", "default_imgae", "did you mean default_image?"),
        ("[vm_defaults]\nmemroy = 1", "vm_defaults.memroy", "did you mean vm_defaults.memory?"),
        ("memory = 1", "memory", "did you mean vm_defaults.memory?"),
        ("disk_bytes_per_second = '2T'", "disk_bytes_per_second", "'2T' is not 0, or a size"),
        ("disk_bytes_per_second = false", "disk_bytes_per_second", "False is not 0, or a size"),
        ("disk_operations_per_second = -1", "disk_operations_per_second", "-1 is not a whole number"),
        ("zzz = 1", "zzz", "no such setting"),
        ("vm_defaults = 3", "vm_defaults", r"write \[vm_defaults\]"),
        ("[vm_defaults]\nvcpu = true", "vm_defaults.vcpu", "True is not a whole number"),
        ("[vm_defaults]\nvcpu = 0", "vm_defaults.vcpu", "0 is not"),
        ("[vm_defaults]\nmemory = 'lots'", "vm_defaults.memory", "'lots' is not a size"),
        ("ssh_key_path = 'keys/mine'", "ssh_key_path", "'keys/mine' is not an absolute path"),
        ("ssh_key_path = '~other/key'", "ssh_key_path", "'~other/key' is not an absolute path"),
        ("boot_timeout = 'soon'", "boot_timeout", "'soon' is not a number of seconds"),
        ("log_level = 'loud'", "log_level", "'loud' is not one of debug"),
        ("default_image = 5", "default_image", "5 is not a string"),
        ("driver = ['qemu']", "driver", "is not one of auto"),
        ("= 5", "(file)", "not TOML"),
        (b"\xff\xfe", "(file)", "not TOML"),
        ("x" * 2_000_000, "(file)", "larger than 1 MiB"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str | bytes, key: str, says: str) -> None:
    path = write(tmp_path / "c.toml", text)
    with pytest.raises(errors.BadSetting, match=says) as caught:
        load(path)
    assert caught.value.data["key"] == key
    assert caught.value.data["path"] == path


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# a comment\n\ndefault_imgae = 'x'\n", 3),
        ('dns_port = 0\n"log_level" = "loud"\n', 2),
        ("vm_defaults.nat = true\nvm_defaults.vcpu = 0\n", 2),
        ("[vm_defaults]\nnat = true\n\nmemory = 'lots'", 4),
        ("dns_port = 0\nvm_defaults = 3", 2),
        ("dns_port = 0\nlog_level = info\n", 2),
        ("dns_port = 0\n\n\n[vm_defaults\n", 4),
    ],
)
def test_where_it_is_wrong_is_named(tmp_path: Path, text: str, line: int) -> None:
    path = write(tmp_path / "c.toml", text)
    with pytest.raises(errors.BadSetting) as caught:
        load(path)
    assert caught.value.data["line"] == line
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_every_value_is_known_by_who_has_decided_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, own = write(tmp_path / "host.toml", "dns_port = 0\ndriver = 'qemu'\n"), str(tmp_path / "own.toml")
    monkeypatch.setattr(loader, "SYSTEM_CONFIG", host)
    monkeypatch.setenv("BANGER_LOG_LEVEL", "debug")
    write(tmp_path / "own.toml", "\ndriver = 'auto'\nvm_defaults.nat = true\n")
    config = load(host, own)
    assert (config.driver, config.dns_port, config.vm_defaults.nat) == ("auto", 0, True)
    decided = {name: each for name, each in config.origins.items() if each.kind not in ("built-in", "host")}
    assert decided == {
        "dns_port": Origin("system", host, 1),
        "driver": Origin("user", own, 2),
        "vm_defaults.nat": Origin("user", own, 3),
        "log_level": Origin("environment", "BANGER_LOG_LEVEL"),
    }
    assert set(config.origins) == {setting.name for setting in SETTINGS}


def test_the_environment_wins_for_the_log_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "c.toml", "log_level = 'error'")
    monkeypatch.setenv("BANGER_LOG_LEVEL", "DEBUG")
    assert load(path).log_level == "debug"
    monkeypatch.setenv("BANGER_LOG_LEVEL", "loud")
    with pytest.raises(errors.BadSetting, match="BANGER_LOG_LEVEL"):
        load(path)


def test_a_key_below_ones_home_is_found_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for written, meant in (("~/.ssh/banger", "/home/me/.ssh/banger"), ("/keys/../keys/mine", "/keys/mine")):
        assert load(write(tmp_path / "c.toml", f"ssh_key_path = '{written}'")).ssh_key_path == meant
