"""A recipe as it is asked for, judged before anything exists, and as it is recorded.

What is recorded (`Built`) has digests in the place of contents. Its own digest, together with the digest of the base
image and the versions of the code that carries it out, is the *key*: two images of one key were built alike, and can
share one file.
"""

import hashlib
import re

import msgspec

from banger import errors
from banger.api.image import ImageConfig, Step
from banger.api.recipe import BuildImage, Built, BuiltFile, RecipeConfig, RecipeFile
from banger.images.sources import STEP_LENGTH
from banger.log import printable

VERSION = 1
"""Grows when the same recipe would be carried out in another way."""

CONTENT_LIMIT = 16 << 20
FILES_LIMIT = PACKAGES_LIMIT = 1024
COMMANDS_LIMIT = 256
COMMAND_LIMIT = 64 << 10
SCRIPT_LIMIT = 256 << 10
"""Most bytes of all commands: they are kept in the record of the change, and of the image."""

DESCRIPTION_LIMIT = 1000

DEFAULT_SUITE = "bookworm"

_PACKAGE = re.compile(r"[A-Za-z0-9@_][A-Za-z0-9@_+.:~=<>/-]{0,127}")
_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,31})?")
_MIRROR = re.compile(r"(https?|file|copy):/[!-~]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check(request: BuildImage, mirror: str | None) -> Built:
    """What will be on record of the recipe; ``mirror`` is the one of the settings. Raises `errors.UsageError`."""
    if request.base is not None and request.suite is not None:
        raise errors.UsageError(detail="an image is built of a suite or on a base, not both")
    if request.base is not None and request.mirror is not None:
        raise errors.UsageError(detail="a mirror is for a suite; a base image brings its own package sources")
    if request.base is None:
        mirror = request.mirror or mirror
        if mirror is not None and not _MIRROR.fullmatch(mirror):
            raise errors.UsageError(detail=f"{printable(mirror, 80)!r} is not the address of an archive")
    return Built(
        suite="" if request.base is not None else request.suite or DEFAULT_SUITE,
        base=request.base or "",
        description=_description(request.description),
        packages=_packages(request.packages),
        files=_files(request.files),
        commands=_commands(request.commands),
        config=_config(request.config),
        systemd=request.systemd,
        ssh=request.ssh,
        mirror=mirror if request.base is None else None,
    )


def key(built: Built, size: int, writer: int, base: ImageConfig) -> str:
    """The digest that stands for everything that decides the image.

    ``writer`` is the file system writer's version, ``base`` the configuration of the base image: commands see it.
    """
    plain = msgspec.structs.replace(built, description="", base="")
    text = msgspec.json.encode([VERSION, writer, size, plain, base], order="sorted")
    return "sha256:" + hashlib.sha256(text).hexdigest()


def steps(built: Built) -> tuple[Step, ...]:
    """What the recipe did, as lines of the image's history."""
    extras = ["systemd"] * built.systemd + ["an ssh server"] * built.ssh
    what = f": {' '.join(built.description.split())}" if built.description else ""
    lines = [f"built on {built.base}{what}" if built.base else f"built of debian:{built.suite}{what}"]
    lines += [f"packages {' '.join([*built.packages, *extras])}"] if built.packages or extras else []
    lines += [f"file {each.path}" for each in built.files]
    lines += [f"run {each}" for each in built.commands]
    return tuple(Step(printable(each, STEP_LENGTH)) for each in lines)


def config(base: ImageConfig, change: RecipeConfig) -> ImageConfig:
    """The base's configuration with a recipe's wishes; a new entrypoint drops the base's command."""
    names = {each.partition("=")[0]: each for each in base.env}
    names |= {name: f"{name}={value}" for name, value in change.env.items()}
    cmd = base.cmd if change.entrypoint is None else []
    return ImageConfig(
        entrypoint=base.entrypoint if change.entrypoint is None else change.entrypoint,
        cmd=cmd if change.cmd is None else change.cmd,
        env=list(names.values()),
        cwd=base.cwd if change.cwd is None else change.cwd,
        user=base.user if change.user is None else change.user,
    )


def _description(text: str) -> str:
    if len(text) > DESCRIPTION_LIMIT or not all(each.isprintable() or each == "\n" for each in text):
        raise errors.UsageError(detail=f"a description is text of at most {DESCRIPTION_LIMIT} characters")
    return text


def _packages(names: list[str]) -> list[str]:
    """Without repetitions, in the order given: what is asked for twice is installed once."""
    for name in names:
        if not _PACKAGE.fullmatch(name):
            raise errors.UsageError(detail=f"{printable(name, 80)!r} is not the name of a package")
    if len(names) > PACKAGES_LIMIT:
        raise errors.UsageError(detail=f"a recipe has at most {PACKAGES_LIMIT} packages")
    return list(dict.fromkeys(names))


def _files(files: list[RecipeFile]) -> list[BuiltFile]:
    if len(files) > FILES_LIMIT:
        raise errors.UsageError(detail=f"a recipe has at most {FILES_LIMIT} files")
    if sum(len(file.content) for file in files) > CONTENT_LIMIT:
        raise errors.UsageError(detail=f"a recipe's files have at most {CONTENT_LIMIT >> 20} MiB together")
    found: dict[str, BuiltFile] = {}
    for file in files:
        _check_path(file.path)
        if file.path in found:
            raise errors.UsageError(detail=f"{file.path} is given twice")
        if not 0 <= file.mode <= 0o7777:
            raise errors.UsageError(detail=f"{file.path}: {file.mode:o} is no mode of a file")
        if not _OWNER.fullmatch(file.owner):
            raise errors.UsageError(detail=f"{file.path}: {printable(file.owner, 80)!r} is neither USER nor USER:GROUP")
        digest = "sha256:" + hashlib.sha256(file.content).hexdigest()
        found[file.path] = BuiltFile(
            path=file.path, mode=file.mode, owner=file.owner, size=len(file.content), digest=digest
        )
    return list(found.values())


def _check_path(path: str) -> None:
    parts = path.split("/")
    plain = path.isprintable() and len(path.encode("utf-8", "replace")) <= 4000
    if not plain or parts[0] or len(parts) < 2 or any(each in ("", ".", "..") for each in parts[1:]):
        raise errors.UsageError(detail=f"{printable(path, 80)!r} is no absolute path of a file")


def _commands(commands: list[str]) -> list[str]:
    if len(commands) > COMMANDS_LIMIT:
        raise errors.UsageError(detail=f"a recipe has at most {COMMANDS_LIMIT} commands")
    for number, command in enumerate(commands, 1):
        if not command.strip() or "\0" in command or len(command.encode("utf-8", "replace")) > COMMAND_LIMIT:
            reason = f"it is empty, longer than {COMMAND_LIMIT >> 10} KiB, or holds a NUL character"
            raise errors.UsageError(detail=f"command {number}: {reason}")
    if sum(map(len, commands)) > SCRIPT_LIMIT:
        raise errors.UsageError(detail=f"a recipe's commands have at most {SCRIPT_LIMIT >> 10} KiB together")
    return commands


def _config(change: RecipeConfig) -> RecipeConfig:
    for name in change.env:
        if not _VARIABLE.fullmatch(name):
            raise errors.UsageError(detail=f"{printable(name, 80)!r} is not a name for an environment variable")
    texts = [*change.env.values(), *(change.entrypoint or ()), *(change.cmd or ()), change.cwd or "", change.user or ""]
    if any("\0" in each for each in texts) or sum(map(len, texts)) > COMMAND_LIMIT:
        raise errors.UsageError(detail="the configuration holds a NUL character, or is too long")
    if change.cwd and not change.cwd.startswith("/"):
        raise errors.UsageError(detail=f"{printable(change.cwd, 80)!r} is not an absolute path")
    return change
