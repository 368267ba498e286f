"""What ``vm run`` is told by a profile: the user's own, by ``--profile``, and that of the repository it is started in.

A flag wins over the repository's file, the file over the user's profile. The file takes effect once its content is
trusted: the user is asked on a terminal, and told how to agree where there is none.
"""

import difflib
import os
import sys

import banger
from banger.config import profile
from banger.config.trust import Trusted
from banger.paths import Paths, project_file
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Mapping

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace
    from banger.config.profile import Project

YES = ("y", "yes")
MERGED = ("env", "labels")
"""What is said in several places is all of it; of the same name, the nearest."""


def settled(arguments: "Namespace", directory: str, terminal: "Terminal") -> dict[str, object]:
    """What the profiles say, of which one may speak for ``directory``.

    By the fields of `banger.api.vm.CreateVm`, with ``workspace`` and ``packages``. Raises `errors.UsageError` for a
    name that there is not, `errors.BadSetting`, `errors.NotTrusted`.
    """
    found: dict[str, object] = {}
    if arguments.profile:
        found = dict(_named(arguments.profile))
    path = None if arguments.no_profile else project_file(directory)
    if path is not None:
        project = profile.read(path)
        agree(project, terminal)
        found = merged(found, project.values)
    return found


def merged(below: "Mapping[str, object]", above: "Mapping[str, object]") -> dict[str, object]:
    """Both, where what ``above`` says wins; in it, None and what is empty says nothing."""
    result = dict(below)
    for name, value in above.items():
        under = result.get(name)
        if name in MERGED and isinstance(under, dict) and isinstance(value, dict):
            result[name] = {**under, **value}
        elif value is not None and value not in ([], {}):
            result[name] = value
        else:
            result.setdefault(name, value)
    return result


def _named(name: str) -> "Mapping[str, object]":
    from banger.config.loader import load
    from banger.config.values import nearest

    known = load(*Paths.from_environment().config_files).profile
    if name not in known:
        hint = nearest(name, known) or ("; there are " + ", ".join(sorted(known)) if known else "; there is none")
        raise banger.errors.UsageError(detail=f"--profile: there is no [profile.{printable(name, 63)}]{hint}")
    return known[name]


def agree(project: "Project", terminal: "Terminal") -> None:
    """See to it that the file's content is trusted. Raises `errors.NotTrusted`."""
    trusted = Trusted(Paths.from_environment().trusted)
    before = trusted.content(project.path)
    if before == project.content:
        return
    if not (os.isatty(0) and os.isatty(2)):
        raise _refused(project)
    show(project, before, terminal)
    terminal.ask("Trust it, until its content changes? [y/N] ")
    if sys.stdin.readline().strip().lower() not in YES:
        raise _refused(project)
    trusted.trust(project.path, project.content)


def _refused(project: "Project") -> "banger.errors.NotTrusted":
    import shlex

    directory = shlex.quote(printable(os.path.dirname(project.path), 4096))
    return banger.errors.NotTrusted(path=printable(project.path, 4096), directory=directory)


def show(project: "Project", before: bytes | None, terminal: "Terminal") -> None:
    """What a file says; and where it was trusted, what it says no more."""
    path, now = printable(project.path, 4096), profile.lines(project.values)
    if before is None:
        terminal.say(f"{path} sets for 'banger run':")
    else:
        terminal.say(f"{path} has changed since it was trusted ('+' is new, '-' is gone):")
    was = now if before is None else _lines(project.path, before)
    if was == now:
        changes = [f" {each}" for each in now]
    else:  # without the heading, which is three lines
        changes = list(difflib.unified_diff(was, now, n=len(was) + len(now), lineterm=""))[3:]
    for line in changes or [" nothing"]:
        terminal.say(f"  {line[0]} {line[1:]}")


def _lines(path: str, content: bytes) -> list[str]:
    try:
        return profile.lines(profile.parse_project(path, content))
    except banger.errors.BadSetting:
        return []  # what an older banger took
