"""Root's own copy of banger: the package that runs now, and what it needs, as a virtual environment.

It is made of the files that the packages say they have brought (their RECORD), wherever they are: an environment, pipx,
the system's own packages. No index is asked and nothing is downloaded, so what is installed is what was tried.

Invariants: everything in it belongs to root and only root can write it; its interpreter is a regular file for which the
same holds, so that nobody else decides what root runs. It is made beside its place and takes it in one step.
"""

import compileall
import contextlib
import importlib.metadata
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator

from banger import errors

SCRIPTS = {"banger": "banger.cli.main:command", "bangerd": "banger.daemon.main:main"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def interpreter() -> str:
    """The real interpreter that runs now. Raises `errors.InstallRefused` unless it is root's alone."""
    path = os.path.realpath(sys.executable)
    reason = not_roots(path)
    if reason:
        error = errors.InstallRefused(reason=f"the services cannot run under {path}: {reason}")
        error.advise(
            "install banger with the distribution's Python: /usr/bin/python3 -m venv, or pipx --python /usr/bin/python3"
        )
        raise error
    return path


def not_roots(path: str) -> str:
    """Why somebody else than root could change what ``path`` is, or nothing."""
    each = path
    while True:
        try:
            found = os.lstat(each)
        except OSError as error:
            return f"{each}: {error.strerror}"
        if stat.S_ISLNK(found.st_mode):
            return f"{each} is a symbolic link"
        if found.st_uid != 0:
            return f"{each} belongs to uid {found.st_uid}"
        if found.st_mode & 0o022:
            return f"others than root can write {each}"
        if each == "/":
            return ""
        each = os.path.dirname(each)


def closure() -> dict[str, importlib.metadata.Distribution]:
    """banger and every distribution that it needs here, by normalised name.

    Raises `errors.InstallRefused` where banger is not installed as a package.
    """
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = ["banger"]
    while waiting:
        name = _normal(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if name != "banger":
                continue  # needed under a condition that does not hold here: else banger would not run
            error = errors.InstallRefused(
                reason="this banger runs from a source tree; it is not installed as a package"
            )
            error.advise("install it first: pip install . in a virtual environment")
            raise error from None
        for requirement in found[name].requires or ():
            wanted = _NAME.match(requirement)
            if wanted and "extra ==" not in requirement.replace("extra==", "extra =="):
                waiting.append(wanted.group())
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def files() -> Iterator[tuple[str, str]]:
    """Every file of the environment's packages: where it is, and its name below ``site-packages``."""
    for name, distribution in closure().items():
        listed = distribution.files
        if listed is None:
            raise errors.InstallRefused(reason=f"the package {name} does not say which files are its own")
        for each in listed:
            relative = os.path.normpath(str(each))
            if relative.startswith(("..", "/", "banger/")) or relative.endswith(".pth"):
                continue  # scripts, which we make anew; an editable installation's way to its files
            path = str(each.locate())
            if os.path.isfile(path) and _is_wanted(path):
                yield path, relative
    import banger

    (package,) = banger.__path__  # which is elsewhere where the installation is editable
    for directory, _, names in os.walk(package):
        for file_name in filter(_is_wanted, names):
            path = os.path.join(directory, file_name)
            yield path, os.path.join("banger", os.path.relpath(path, package))


def shared() -> Iterator[tuple[str, str]]:
    """Manual pages and completion scripts that banger has brought: where each is, and its name below ``share``."""
    for each in closure()["banger"].files or ():
        outside, found, name = os.path.normpath(str(each)).partition("share/")
        path = str(each.locate())
        if found and outside.strip("./") == "" and outside.startswith("..") and os.path.isfile(path):
            yield path, name


def _is_wanted(name: str) -> bool:
    """Of compiled modules, only those for this interpreter."""
    return not name.endswith(".pyc") or name.endswith(f".{sys.implementation.cache_tag}.pyc")


def build(directory: str, final: str) -> None:
    """Make the environment in the new ``directory``, to be used at ``final``.

    Raises what `interpreter` and `files` raise.
    """
    base = interpreter()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    site = os.path.join(directory, "lib", f"python{version}", "site-packages")
    for each in (site, os.path.join(directory, "bin")):
        os.makedirs(each, mode=0o755)
    found = [(source, os.path.join(site, name)) for source, name in files()]
    found += [(source, os.path.join(directory, "share", name)) for source, name in shared()]
    for source, target in found:
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        shutil.copyfile(source, target)
        status = os.stat(source)
        os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))  # which compiled modules are held against
        os.chmod(target, 0o755 if status.st_mode & 0o111 else 0o644)
    with open(os.path.join(directory, "pyvenv.cfg"), "w", encoding="utf-8") as file:
        file.write(f"home = {os.path.dirname(base)}\ninclude-system-site-packages = false\nversion = {version}\n")
    os.symlink(base, os.path.join(directory, "bin", "python3"))
    for name, entry in SCRIPTS.items():
        path = os.path.join(directory, "bin", name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(_script(final, os.path.relpath(site, directory), entry))
        os.chmod(path, 0o755)  # noqa: S103 - a program for everybody
    compileall.compile_dir(site, quiet=2, stripdir=directory, prependdir=final)
    _make_roots(directory)


def _script(final: str, site: str, entry: str) -> str:
    """A program that starts without Python's own `site`: where its packages are is known, and there is nothing else."""
    module, _, function = entry.partition(":")
    return f"""\
#!{final}/bin/python3 -IS
import sys

sys.path.append("{final}/{site}")

from {module} import {function}

sys.exit({function}())
"""


def _make_roots(directory: str) -> None:
    """Nobody but root may write what was made under whatever umask there was."""
    for place, directories, names in os.walk(directory):
        for name in (*directories, *names):
            path = os.path.join(place, name)
            if not os.path.islink(path):
                os.chmod(path, os.stat(path).st_mode & 0o755 | 0o644)
    os.chmod(directory, 0o755)  # noqa: S103 - everybody may read programs


def discard(directory: str) -> None:
    """Remove an environment, or what there is of one."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)
