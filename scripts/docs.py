"""Write the reference pages that are made from the code: ``make docs``.

Each page has one generator; a test compares what they say with what is in docs/reference, so that a page cannot be
stale. Nobody edits these pages by hand.
"""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"


def errors() -> str:
    """The table of failures."""
    from banger.errors import all_errors

    rows = [
        f"| `{each.code}` | {each.exit_status} | {each.http} | {cell(each.template)} | {cell(each.hint)} |"
        for each in sorted(all_errors(), key=lambda each: each.code)
    ]
    head = (
        "# Failures\n\nEvery failure that banger tells has a stable code, an exit status, an HTTP status, a message "
        "and a hint. Words in braces stand for values, which programs find in the error's `data`.\n\n"
        "Of `run` and `exec`, the status is the guest command's own, unless banger itself failed: 125 banger failed, "
        "126 the command could not be executed, 127 it was not found, 124 the time limit ran out, 128+N the command "
        "died of signal N.\n\n"
        "| code | exit status | HTTP | message | hint |\n|---|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def state_directory() -> str:
    """Where everything lies: the docstring of `banger.paths`, which is where the names are spelled."""
    from banger import paths

    text = (paths.__doc__ or "").partition("\n\nPaths are ")[0]
    head, _, picture = text.partition("\n\nOn disk::\n\n")
    _, _, table = head.partition("\n\n")
    prose, _, rows = table.replace("``", "`").partition("=========  ")
    tree = "\n".join(line.removeprefix("    ") for line in picture.splitlines())
    grid = ("=========  " + rows).strip()
    return (
        f"# Directories and files\n\n{prose.strip()}\n\n```text\n{grid}\n```\n\n"
        f"What lies in them:\n\n```text\n{tree}\n```\n"
    )


def openapi() -> str:
    """The interface of the daemon, for programs."""
    from banger.daemon.openapi import document

    return json.dumps(document(), indent=1) + "\n"


def imported(place: str) -> Callable[[], str]:
    """The generator that a package brings, written ``module:function``."""

    def generate() -> str:
        module, _, function = place.partition(":")
        text: str = getattr(importlib.import_module(module), function)()
        return text

    return generate


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": imported("banger.cli.reference:command_line"),
    "config.md": imported("banger.config.reference:page"),
    "errors.md": errors,
    "http.md": imported("banger.daemon.openapi:page"),
    "openapi.json": openapi,
    "privileged-operations.md": imported("banger.privileged.reference:page"),
    "recipe.md": imported("banger.sdk.recipe:page"),
    "state-directory.md": state_directory,
}
"""Page -> generator."""


def main() -> int:
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, generate in PAGES.items():
        (REFERENCE / name).write_text(generate())
        print(f"docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
