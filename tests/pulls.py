"""Pulls in tests: small images of bytes that do not compress, and what a pull says."""

import os
import re
from pathlib import Path

from banger.oci import reference, transport
from tests import guest_images, registry


class Told:
    """What a pull says."""

    def __init__(self) -> None:
        self.progress: list[tuple[int, int | None]] = []
        self.notices: list[str] = []


async def fetch(name: str, cache: Path, told: Told | None = None) -> transport.Fetched:
    told = told or Told()
    return await transport.fetch(
        reference.parse(name),
        str(cache),
        progress=lambda stage, done, total: told.progress.append((done, total)),
        notice=told.notices.append,
    )


def image(directory: Path, *sizes: int, architecture: str = "amd64") -> str:
    layers = [guest_images.Tar().file(f"f{number}", os.urandom(size)).bytes() for number, size in enumerate(sizes)]
    return guest_images.write_layout(directory, layers, architecture=architecture)


def takes_up() -> bool:
    """Whether skopeo asks for the rest of a blob (Range) when a connection breaks in it."""
    return tuple(map(int, re.findall(r"\d+", registry.skopeo("--version"))[:3])) >= (1, 11, 1)
