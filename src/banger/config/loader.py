"""config.toml: read once when the daemon starts; every key is optional, and an unknown one is an error.

There may be two: the host's, and the user's own, whose settings win.

A misspelt key that were ignored would be a setting that silently does nothing; so it is named, with the nearest one.
"""

import difflib
import os
import tomllib

from banger import errors
from banger.config.settings import SETTINGS, Config, build, parse

LARGEST = 1 << 20
"""Most bytes of a configuration file that are read."""


def load(*paths: str) -> Config:
    """The configuration in force; later files win. A missing file is an empty one. Raises `errors.BadSetting`."""
    values, files = {}, {}
    known = {setting.name: setting for setting in SETTINGS}
    for path in paths:
        for name, value in _flat(_read(path), path):
            if name not in known:
                raise errors.BadSetting(path=path, key=name, reason=f"there is no such setting{_nearest(name)}")
            values[name], files[name] = parse(known[name], value, path), path
    level = os.environ.get("BANGER_LOG_LEVEL")
    if level:
        values["log_level"] = parse(known["log_level"], level.lower(), "BANGER_LOG_LEVEL")
    return build(values, files)


def _read(path: str) -> dict[str, object]:
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise errors.BadSetting(path=path, key="(file)", reason=error.strerror or str(error)) from None
    if len(data) > LARGEST:
        raise errors.BadSetting(path=path, key="(file)", reason="it is larger than 1 MiB")
    try:
        return tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise errors.BadSetting(path=path, key="(file)", reason=f"it is not TOML: {error}") from None


def _flat(table: dict[str, object], path: str) -> list[tuple[str, object]]:
    """Keys of the file as setting names: ``[vm_defaults] vcpu`` is ``vm_defaults.vcpu``."""
    sections = {setting.name.partition(".")[0] for setting in SETTINGS if "." in setting.name}
    found: list[tuple[str, object]] = []
    for key, value in table.items():
        if key in sections:
            if not isinstance(value, dict):
                raise errors.BadSetting(path=path, key=key, reason=f"it is a table: write [{key}]")
            found += [(f"{key}.{inner}", item) for inner, item in value.items()]
        else:
            found.append((key, value))
    return found


def _nearest(name: str) -> str:
    names = [setting.name for setting in SETTINGS]
    last = {each.rpartition(".")[2]: each for each in names}
    inner = name.rpartition(".")[2]
    close = [last[inner]] if inner in last else difflib.get_close_matches(name, names, 1)
    close = close or [last[each] for each in difflib.get_close_matches(inner, list(last), 1)]
    return f"; did you mean {close[0]}?" if close else ""
