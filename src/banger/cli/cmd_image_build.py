"""``banger image build``: a recipe from a file, from flags, or from both.

Sources are read here, with the caller's rights."""

import re
from collections.abc import Sequence

from msgspec.structs import replace

from banger import errors
from banger.api import routes
from banger.api.recipe import BuildImage, RecipeFile
from banger.cli.change import make
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.sdk import recipe

_FILE = re.compile(r"(?P<host>.+?):(?P<guest>/[^:]*)(?::(?P<mode>[^:/]*))?")


def run(arguments: Namespace, terminal: Terminal) -> int:
    return make(arguments, terminal, routes.IMAGE_BUILD, routes.IMAGE_SHOW, request=wish(arguments))


def wish(arguments: Namespace) -> BuildImage:
    """The recipe with the flags' wishes: lists grow, single values and files of the same path are replaced."""
    found = recipe.read(arguments.recipe) if arguments.recipe is not None else BuildImage(name="")
    name = arguments.name or found.name
    if not name:
        raise errors.UsageError(detail="say how the image is to be named: banger image build NAME")
    if arguments.base is not None and arguments.suite is not None:
        raise errors.UsageError(detail="an image is built of a suite or on a base, not both")
    if arguments.base is not None:
        found = replace(found, base=arguments.base, suite=None)
    if arguments.suite is not None:
        found = replace(found, suite=arguments.suite, base=None)
    return replace(
        found,
        name=name,
        packages=[*found.packages, *arguments.package],
        commands=[*found.commands, *arguments.run],
        files=_merged(found.files, [_file(each) for each in arguments.file]),
        systemd=found.systemd or arguments.systemd,
        ssh=found.ssh or arguments.ssh,
        mirror=found.mirror if arguments.mirror is None else arguments.mirror,
        size=found.size if arguments.size is None else arguments.size,
        force=arguments.force,
    )


def _merged(files: Sequence[RecipeFile], added: Sequence[RecipeFile]) -> list[RecipeFile]:
    paths = {file.path for file in added}
    return recipe.check_total([*(file for file in files if file.path not in paths), *added])


def _file(text: str) -> RecipeFile:
    parts = _FILE.fullmatch(text)
    if parts is None:
        raise errors.UsageError(detail=f"--file: {text!r} is not of the form HOST:GUEST or HOST:GUEST:MODE")
    try:
        mode = None if parts["mode"] is None else recipe.read_mode(parts["mode"])
    except ValueError:
        raise errors.UsageError(
            detail=f"--file: {parts['mode']!r} is not a mode in octal digits, such as 0755"
        ) from None
    return recipe.load_file(parts["host"], parts["guest"], mode)
