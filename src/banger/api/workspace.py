"""Workspaces: a repository of the host inside a machine."""

import msgspec


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine was given of a repository, by the import that came last."""

    id: str
    """Of that import; another one has another."""
    path: str
    """The repository's top directory in the guest."""
    source: str
    """The same on the host; absolute."""
    commit: str | None = None
    """What HEAD was in the guest after the import; None where the repository had no commits."""
    branch: str | None = None
    """What HEAD was on; None where it was detached."""
    start: str | None = None
    """The host's name for ``commit`` (``--from``), where ``branch`` exists in the guest alone (``--branch``)."""
    untracked: bool = False
    """Whether files that git does not track came along."""
    complete: bool = False
    """Whether the import came to its end. One that broke off leaves some of the files, which the next one mends."""
    imported: float
    """When it began."""


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """Where an import's repository is to be and what it is; see `Workspace`."""

    path: str
    source: str
    commit: str | None = None
    branch: str | None = None
    start: str | None = None
    untracked: bool = False
    base: str | None = None
    """Id of the import that this one was made for; another one since then refuses it."""


class AskStates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask what names in a machine are. They are bytes, in JSON as base64."""

    path: str
    """The directory that they are below."""
    names: list[bytes]


class FileState(msgspec.Struct, frozen=True, array_like=True):
    """What a name is; as stat(2) tells it of the name itself, with nothing followed."""

    mode: int
    size: int
    mtime_ns: int


class FileStates(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of the names; None for one that is not there."""

    states: list[FileState | None]
