"""The file that says what can be set: every setting with what it is for and its default, nothing of it in force.

Prose begins with a number sign and a blank; a setting with a number sign alone, which is to be taken away.
"""

import textwrap

from banger.config.settings import SETTINGS, Setting
from banger.config.values import SIZES, written

WIDTH = 100

HEAD = """\
Settings of banger. A line that begins with "#" and no blank is a setting with its default: take the "#" away and change
the value. The daemon reads this file when it starts: 'banger daemon stop' makes the next command start it anew, and
'banger config show' tells what is in force."""


def template() -> str:
    """The whole file."""
    lines = [*_prose(HEAD)]
    section = ""
    for setting in SETTINGS:
        table, _, name = setting.name.rpartition(".")
        if table and table != section:
            lines += ["", f"[{table}]"]
        section = table
        lines += ["", *_prose(setting.help)]
        lines += _table(setting) if setting.head else [*_prose(_kind(setting)), _assignment(setting, name)]
    return "\n".join(lines) + "\n"


def _prose(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), WIDTH - 2)]


def _kind(setting: Setting) -> str:
    unset = "; unset by default" if setting.default is None else ""
    return f"{setting.kind[0].upper()}{setting.kind[1:]}{unset}."


def _assignment(setting: Setting, name: str) -> str:
    value = setting.example if setting.default is None else setting.default
    return f"#{name} = {written(value, sized=setting.sized)}"


def _table(setting: Setting) -> list[str]:
    lines = [f"#{setting.head.replace('NAME', 'small')}"]
    for key in setting.keys:
        lines += [*_prose(key.help), f"#{key.name} = {written(key.example, sized=key.parse in SIZES)}"]
    return lines
