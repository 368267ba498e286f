"""``python -m banger.cli``: the same as the command."""

from banger.cli.main import command

command()
