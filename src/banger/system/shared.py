"""Manual pages and completion scripts where `man` and shells look for them: links into root's copy of banger.

Which of the directories are banger's own making is on record, so that an uninstallation takes away those and no others.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence

from banger.system.files import Files
from banger.system.layout import VENV, below

SHARE = "/usr/local/share"
SOURCE = f"{VENV}/share"
DIRECTORIES = tuple(
    f"{SHARE}{path}"
    for path in (
        "", "/man", "/man/man1", "/man/man5", "/bash-completion", "/bash-completion/completions",
        "/zsh", "/zsh/site-functions", "/fish", "/fish/vendor_completions.d",
    )
)  # fmt: skip
"""Each after the one that it is in."""


def absent(root: str) -> list[str]:
    """The directories that an installation has to make."""
    return [path for path in DIRECTORIES if not os.path.isdir(below(root, path))]


def link(made: Files) -> None:
    """A link for each file of the copy; what has that name already stays, and what leads to nothing any more goes."""
    for path in absent(made.root):
        made.directory(path, 0o755)
    for path, target in _links(made.root):
        if not os.path.lexists(below(made.root, target)):
            os.unlink(below(made.root, path))
    source = below(made.root, SOURCE)
    for directory, _, names in sorted(os.walk(source)):
        for name in sorted(names):
            relative = os.path.relpath(os.path.join(directory, name), source)
            if os.path.dirname(f"{SHARE}/{relative}") in DIRECTORIES:
                made.link(f"{SHARE}/{relative}", f"{SOURCE}/{relative}")


def remove(root: str, made: Sequence[str]) -> None:
    """Every link into the copy, and those of the directories ``made`` that hold nothing else."""
    for path, _ in _links(root):
        os.unlink(below(root, path))
    for path in reversed([each for each in DIRECTORIES if each in made]):
        with contextlib.suppress(OSError):
            os.rmdir(below(root, path))


def _links(root: str) -> Iterator[tuple[str, str]]:
    """The links that are banger's, and where they lead."""
    for directory in DIRECTORIES:
        place = below(root, directory)
        for name in sorted(os.listdir(place)) if os.path.isdir(place) else ():
            with contextlib.suppress(OSError):
                target = os.readlink(os.path.join(place, name))
                if target.startswith(f"{SOURCE}/"):
                    yield f"{directory}/{name}", target
