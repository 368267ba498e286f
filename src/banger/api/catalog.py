"""Catalogs: what can be pulled by a name."""

from typing import Literal

import msgspec


class CatalogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A name that `image pull` or `kernel pull` knows."""

    name: str
    noun: Literal["image", "kernel"]
    kind: Literal["debian", "oci", "bundle", "package"]
    description: str = ""
    distribution: str = ""
    architecture: str = "amd64"
    kernel: str = ""
    size: int | None = None
    """What is downloaded, where that is known."""
    present: bool = False
    """Whether there is an image or kernel of that name here."""
    source: str = "built in"
    """The file that names it."""


class CatalogList(msgspec.Struct, frozen=True, kw_only=True):
    """``faults`` tells of catalogs that are broken and were passed over."""

    entries: list[CatalogEntry]
    faults: list[str] = []
