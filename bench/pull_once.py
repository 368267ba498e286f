"""An image from its reference to a file system, as ``image pull`` makes it, without a daemon.

python -m bench.pull_once REFERENCE CACHE IMAGE SIZE
"""

import asyncio
import sys

from banger.api.operation import Progress
from banger.engine.change import Report
from banger.images import sources


class Silent:
    """A report that nobody reads."""

    operation = ""

    def stage(self, text: str) -> None:
        """A new stage."""

    def notice(self, text: str) -> None:
        """Something to know."""

    def progress(self, progress: Progress | None) -> None:
        """How far it is."""

    def record(self, **facts: object) -> None:
        """Facts to be committed."""


async def pull(reference: str, cache: str, image: str, size: int) -> None:
    material = sources.Material()
    report: Report = Silent()
    await sources.fetch(material, reference, cache, report)
    await sources.write(material, image, size, report)


if __name__ == "__main__":
    asyncio.run(pull(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
