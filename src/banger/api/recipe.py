"""Recipes: what an image is to be built of, and what is on record of how one was built."""

import msgspec


class RecipeFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A regular file of the image. Its content travels with the request (base64 in JSON)."""

    path: str
    """Absolute, in the image."""
    content: bytes = b""
    mode: int = 0o644
    owner: str = "root:root"
    """A user, or a user and a group, by name or number."""


class RecipeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the image wants its commands to be run; what is None stays as the base has it."""

    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    env: dict[str, str] = {}
    """Added to the base's; the same name replaces."""
    cwd: str | None = None
    user: str | None = None


class BuildImage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Build an image: of a Debian suite's packages, without root, or on a base image, in a machine made for that.

    First packages are installed, then files put in place, then commands run.
    """

    name: str
    description: str = ""
    suite: str | None = None
    """Of Debian; taken to be bookworm where there is no base either."""
    base: str | None = None
    """An image by name or id, or any reference that it is pulled from."""
    packages: list[str] = []
    files: list[RecipeFile] = []
    commands: list[str] = []
    """Shell lines, run in order as root; each must succeed."""
    config: RecipeConfig = RecipeConfig()
    systemd: bool = False
    """Install systemd, so that machines of the image boot it."""
    ssh: bool = False
    """Install an ssh server. Its host keys are made by each machine."""
    mirror: str | None = None
    """The archive of a suite's packages."""
    size: int | None = None
    force: bool = False
    """Build anew although an image was built by the same recipe, or has that name."""


class BuiltFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a recipe put in place."""

    path: str
    mode: int
    owner: str
    size: int
    digest: str


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe that was carried out. Exactly one of ``suite`` and ``base`` is there."""

    suite: str = ""
    base: str = ""
    base_digest: str = ""
    description: str = ""
    packages: list[str] = []
    files: list[BuiltFile] = []
    commands: list[str] = []
    config: RecipeConfig = RecipeConfig()
    systemd: bool = False
    ssh: bool = False
    mirror: str | None = None
