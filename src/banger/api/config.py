"""The settings in force."""

from typing import Any, Literal

import msgspec


class SettingOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """Who has decided a setting. ``path`` is the file, or the environment's variable."""

    kind: Literal["built-in", "host", "system", "user", "environment"]
    path: str | None = None
    line: int | None = None


class SettingInForce(msgspec.Struct, frozen=True, kw_only=True):
    """A setting. Sizes are bytes, durations seconds; ``written`` is the value as the file would have it."""

    name: str
    value: Any
    written: str
    origin: SettingOrigin
    next: str | None = None
    """What the files say by now, written likewise, where that is something else: it takes effect when the daemon
    starts again."""


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    kind: Literal["system", "user"]
    path: str
    exists: bool


class SettingList(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. ``files`` are those that are read, the one that wins last."""

    settings: list[SettingInForce]
    files: list[ConfigFile]
    fault: str = ""
    """What is wrong with the files by now, in words; a daemon would not start with them."""
