"""``banger config``: what is in force, with a daemon and without; and the file to begin with."""

import json
import os
from pathlib import Path

from tests.home import Home


def origins(home: Home) -> dict[str, tuple[str, str | None, int | None]]:
    """Those that are not built in, by the names of their settings."""
    report = json.loads(home.banger("config", "show", "--json", check=True).stdout)
    return {each["name"]: (each["written"], each["origin"]["path"], each["origin"]["line"])
             for each in report["settings"] if each["origin"]["kind"] in ("user", "system")}  # fmt: skip


def write(home: Home, text: str) -> str:
    os.makedirs(home.paths.config, exist_ok=True)
    Path(home.paths.config_file).write_text(text)
    return home.paths.config_file


def test_what_is_in_force_is_shown_without_a_daemon_and_none_is_started(home: Home) -> None:
    assert origins(home) == {}
    path = write(home, '\ndns_port = 0\n[vm_defaults]\nmemory = "3G"\n')
    assert origins(home) == {"dns_port": ("0", path, 2), "vm_defaults.memory": ('"3G"', path, 4)}
    table = home.banger("config", "show", check=True).stdout
    assert f'vm_defaults.memory          "3G"               {path}:4' in table.splitlines()
    assert home.banger("daemon", "status").status == 3


def test_a_daemon_tells_what_it_goes_by_and_what_has_changed_since(home: Home) -> None:
    path = write(home, "boot_timeout = 60\n")
    home.banger("daemon", "start", check=True)
    write(home, "\nboot_timeout = 61\n")
    shown = home.banger("config", "show", check=True)
    assert f"{path}:1" in shown.stdout and f"{path}:2" not in shown.stdout
    assert "boot_timeout has been changed to 61 since the daemon started" in shown.stderr
    assert "takes effect after 'banger daemon stop'" in shown.stderr
    write(home, "boot_timeout = 61\nno_such = 1\n")
    shown = home.banger("config", "show")
    assert shown.status == 2 and "boot_timeout" in shown.stdout
    assert f"{path}:2: no_such: there is no such setting" in shown.stderr
    home.banger("daemon", "stop", check=True)
    shown = home.banger("config", "show")
    assert shown.status == 2 and not shown.stdout and f"{path}:2: no_such" in shown.stderr
    write(home, "boot_timeout = 61\n")
    assert origins(home) == {"boot_timeout": ("61", path, 1)}


def test_a_file_to_begin_with_is_written_once(home: Home) -> None:
    printed = home.banger("config", "init", "--print", check=True).stdout
    assert not os.path.exists(home.paths.config_file)
    assert home.banger("config", "init", check=True).stdout == f"{home.paths.config_file}\n"
    assert Path(home.paths.config_file).read_text() == printed
    assert origins(home) == {}
    write(home, "dns_port = 0\n")
    again = home.banger("config", "init")
    assert again.status == 4 and "already a file" in again.stderr
    assert Path(home.paths.config_file).read_text() == "dns_port = 0\n"


def test_which_files_are_read_is_shown(home: Home) -> None:
    expected = {"kind": "user", "path": home.paths.config_file, "exists": False}
    assert json.loads(home.banger("config", "path", "--json", check=True).stdout) == {"files": [expected]}
    assert "not there" in home.banger("config", "path", check=True).stdout
