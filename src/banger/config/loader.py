"""config.toml: read once when the daemon starts; every key is optional, and an unknown one is an error.

There may be two: the host's, and the user's own, whose settings win.

A misspelt key that were ignored would be a setting that silently does nothing; so it is named, with its line and the
nearest key.
"""

import os
from collections.abc import Iterator

from banger.config import file, settings
from banger.config.defaults import Origin
from banger.config.file import File
from banger.config.lines import Key
from banger.config.settings import PROFILE, SETTINGS, Config, Setting
from banger.config.values import Wrong, nearest, shown
from banger.paths import SYSTEM_CONFIG

LEVEL = "BANGER_LOG_LEVEL"


def load(*paths: str) -> Config:
    """The configuration in force; later files win. A missing file is an empty one. Raises `errors.BadSetting`."""
    values: dict[str, object] = {}
    origins: dict[str, Origin] = {}
    profiles: dict[str, object] = {}
    for path in paths:
        read = file.read(path)
        kind = "system" if path == SYSTEM_CONFIG else "user"
        for setting, key, value in _rows(read):
            parsed = _parsed(read, setting, key, value)
            origins[setting.name] = Origin(kind, path, read.line(key))
            if isinstance(parsed, dict):  # of profiles, each is a setting of its own
                profiles |= parsed
                origins |= {f"{PROFILE}.{name}": Origin(kind, path, read.line((*key, name))) for name in parsed}
                parsed = profiles
            values[setting.name] = parsed
    level = os.environ.get(LEVEL)
    if level:
        row = next(each for each in SETTINGS if each.name == "log_level")
        values["log_level"] = _parsed(File(LEVEL, {}, {}), row, ("log_level",), level.lower())
        origins["log_level"] = Origin("environment", LEVEL)
    return settings.build(values, origins)


def _rows(read: File) -> Iterator[tuple[Setting, Key, object]]:
    """What a file sets, ``[vm_defaults] vcpu`` as ``vm_defaults.vcpu``. Raises `errors.BadSetting`."""
    known = {setting.name: setting for setting in SETTINGS}
    sections = {setting.name.partition(".")[0] for setting in SETTINGS if "." in setting.name}
    for key, value in read.table.items():
        if key not in sections:
            found: list[tuple[Key, object]] = [((key,), value)]
        elif isinstance(value, dict):
            found = [((key, inner), item) for inner, item in value.items()]
        else:
            raise read.wrong((key,), f"it is a table: write [{key}]")
        for place, item in found:
            name = ".".join(map(str, place))
            if name not in known or (place == (key,) and "." in key):
                raise read.wrong(place, f"there is no such setting{nearest(name, known)}")
            yield known[name], place, item


def _parsed(read: File, setting: Setting, key: Key, value: object) -> object:
    try:
        return setting.parse(value)
    except Wrong as wrong:
        raise read.wrong((*key, *wrong.place), wrong.reason) from None
    except ValueError:
        raise read.wrong(key, f"{shown(value)} is not {setting.kind}") from None
