"""The reference page of the configuration, made from the table of settings."""

from banger.config.profile import FIELDS, PROJECT_FIELDS
from banger.config.settings import SETTINGS, Setting
from banger.config.values import SIZES, written

ABOUT = """\
The daemon reads `config.toml` when it starts: the host's, and the user's own, which wins. Every setting is optional. An
unknown name or a value of the wrong type keeps the daemon from starting, and the message names the file, the line and
the setting.

`banger config init` writes a file with all of this in it, to change. `banger config show` tells what is in force, and
which line of which file has decided it; `banger daemon stop` makes the next command start the daemon anew.

A flag of a command wins over the files; they win over the defaults below. Sizes are written `"512M"`, `"4G"` or
`"4GiB"`, or as a whole number of MiB."""

HEAD = f"""# Configuration

{ABOUT} Where the files lie is told under [directories and files](state-directory.md).
"""

PROJECT = ".banger.toml"

PROJECT_ABOUT = """\
What lies at the top of a git repository by this name says for `banger run` in it what a profile says, by the keys above
without a head. It takes effect once you have agreed to its content: `banger run` asks on a terminal, `banger config
trust` does it anywhere; `--no-profile` ignores it. A flag wins over it, it wins over `--profile`. It is at most 64 KiB,
and names no image that is read from this host."""

PROJECT_KEYS = [each for each in PROJECT_FIELDS if each not in FIELDS]
"""Those that are not as in a profile."""


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    section = ""
    for setting in SETTINGS:
        if setting.head:
            lines += _table(setting)
            continue
        table, _, name = setting.name.rpartition(".")
        if table != section or setting is SETTINGS[0]:
            section = table
            lines += [f"## [{table}]\n" if table else "## Top level\n"]
        lines += [
            f"### `{name}`\n",
            f"{setting.help}\n",
            f"{setting.kind[:1].upper()}{setting.kind[1:]}. Default: {shown_default(setting)}.\n",
        ]
    lines += [f"## {PROJECT}\n", f"{PROJECT_ABOUT}\n"]
    return "\n".join([*lines, *(f"- `{key.name}`, {key.kind}. {key.help}" for key in PROJECT_KEYS), ""])


def _table(setting: Setting) -> list[str]:
    lines = [f"## {setting.head}\n", f"{setting.help}\n"]
    rows = [f"| `{key.name}` | {key.kind} | {key.help} |" for key in setting.keys]
    example = [
        setting.head,
        *(f"{key.name} = {written(key.example, sized=key.parse in SIZES)}" for key in setting.keys),
    ]
    return [*lines, "| key | value | |\n|---|---|---|", *rows, "\n```toml", *example, "```\n"]


def shown_default(setting: Setting) -> str:
    """A setting's default as it is written in the file."""
    return "unset" if setting.default is None else f"`{written(setting.default, sized=setting.sized)}`"
