"""What is installed beside the programs, below ``share``: the manual pages, and the completion scripts where each shell
looks for them."""

from banger.cli import manual
from banger.cli.cmd_completion import SCRIPTS

COMPLETIONS = {
    "bash": "bash-completion/completions/banger",
    "zsh": "zsh/site-functions/_banger",
    "fish": "fish/vendor_completions.d/banger.fish",
}


def files() -> dict[str, str]:
    """Name below ``share`` -> text."""
    found = {f"man/{name}": text for name, text in manual.pages().items()}
    return found | {COMPLETIONS[shell]: script for shell, script in SCRIPTS.items()}
