"""The reference page of the configuration, made from the table of settings."""

from banger.config.settings import SETTINGS, shown_default

ABOUT = """\
The daemon reads `config.toml` when it starts. Every setting is optional. An unknown name or a value of the wrong type
keeps the daemon from starting, and the message names the setting.

A flag of a command wins over the file; the file wins over the defaults below. Sizes are written `"512M"`, `"4G"` or
`"4GiB"`, or as a whole number of MiB."""

HEAD = f"""# Configuration

{ABOUT} Where the file lies is told under [directories and files](state-directory.md).
"""


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    section = ""
    for setting in SETTINGS:
        table, _, name = setting.name.rpartition(".")
        if table != section or setting is SETTINGS[0]:
            section = table
            lines += [f"## [{table}]\n" if table else "## Top level\n"]
        lines += [
            f"### `{name}`\n",
            f"{setting.help}\n",
            f"{setting.kind[:1].upper()}{setting.kind[1:]}. Default: {shown_default(setting)}.\n",
        ]
    return "\n".join(lines)
