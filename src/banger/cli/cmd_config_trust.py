"""``banger config trust``: agree to what a repository's .banger.toml sets."""

import banger
from banger.cli import profile as profiles
from banger.config import profile
from banger.config.trust import Trusted
from banger.paths import PROJECT, Paths, project_file
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    project = profile.read(meant(arguments.path))
    trusted = Trusted(Paths.from_environment().trusted)
    before = trusted.content(project.path)
    if before == project.content:
        terminal.say(f"{printable(project.path, 4096)} is trusted already")
        return 0
    profiles.show(project, before, terminal)
    trusted.trust(project.path, project.content)
    terminal.say("it is trusted until its content changes; 'banger config untrust' takes that back")
    return 0


def meant(path: str | None) -> str:
    """The file that speaks for a directory. Raises `errors.NoSuchPath`."""
    found = project_file(path or ".")
    if found is None:
        raise banger.errors.NoSuchPath(path=printable(path or ".", 4096), kind=PROJECT)
    return found
