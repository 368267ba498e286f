"""An image from its reference to a file system, as ``image pull`` makes it, without a daemon: not synced, not entered.

Run as ``python -m bench.pull_once REFERENCE CACHE IMAGE SIZE``.
"""

import asyncio
import os
import sys

from tests.reports import Silent

from banger.engine.change import Report
from banger.guest import assets
from banger.images import sources
from banger.images.downloads import Downloads


async def pull(reference: str, cache: str, image: str, size: int) -> None:
    material = sources.Material(Downloads(cache))
    report: Report = Silent()
    sources.equip(material, assets.agent_path(), os.path.dirname(image))
    async with sources.arriving(material, reference, report):
        await sources.write(material, image, size, report, indexes=os.path.join(cache, "layers"), home=image)
    material.remove()
    material.release()


if __name__ == "__main__":
    print("ready", flush=True)  # what a daemon has loaded long before it is asked
    sys.stdin.readline()
    asyncio.run(pull(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
    os._exit(0)  # as a daemon goes on, which does not end with the pull
