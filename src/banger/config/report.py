"""The settings in force, with who has decided each, for clients; and how the files differ from them by now."""

import os

import banger
from banger.api.config import ConfigFile, SettingInForce, SettingList, SettingOrigin
from banger.config import profile
from banger.config.defaults import Origin
from banger.config.loader import load
from banger.config.settings import PROFILE, SETTINGS, Config, value_of
from banger.config.values import plain, written
from banger.paths import SYSTEM_CONFIG, Paths


def report(config: Config, paths: Paths) -> SettingList:
    """What is in force by ``config``, and what would be by the files as they are."""
    fault, now = "", config
    try:
        now = load(*paths.config_files)
    except banger.errors.BadSetting as bad:
        fault = bad.message
    rows = []
    for setting in SETTINGS:
        if setting.name == PROFILE:
            rows += _profiles(now)
            continue
        value, later = value_of(config, setting), value_of(now, setting)
        rows.append(
            SettingInForce(
                name=setting.name,
                value=plain(value),
                written=written(value, sized=setting.sized),
                origin=_origin(config.origins[setting.name]),
                next=None if later == value else written(later, sized=setting.sized),
            )
        )
    return SettingList(settings=rows, files=files(paths), fault=fault)


def _profiles(now: Config) -> list[SettingInForce]:
    """Each profile, as the files have it: every run reads them."""
    return [
        SettingInForce(
            name=f"{PROFILE}.{name}",
            value=said,
            written="{" + ", ".join(profile.lines(said)) + "}",
            origin=_origin(now.origins[f"{PROFILE}.{name}"]),
        )
        for name, said in now.profile.items()
    ]


def files(paths: Paths) -> list[ConfigFile]:
    """The files that are read, the one that wins last."""
    return [
        ConfigFile(kind="system" if each == SYSTEM_CONFIG else "user", path=each, exists=os.path.exists(each))
        for each in paths.config_files
    ]


def _origin(origin: Origin) -> SettingOrigin:
    return SettingOrigin(kind=origin.kind, path=origin.path or None, line=origin.line or None)  # type: ignore[arg-type]
