"""The downloads under way in this daemon: one for each reference, whoever needs it.

A download runs for as long as somebody wants it. One that gives up takes nothing from the others; when the last one
does, it is stopped. What it brought whole stays in the cache.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from banger.oci import reference, transport
from banger.oci.cache import Cache
from banger.oci.progress import Notice, Progress


class _Download:
    """One at work, and who hears of it. Who comes late is told what the others were told."""

    def __init__(self, source: str, cache: str, platform: tuple[str, str]) -> None:
        self.listeners: list[tuple[Progress, Notice, transport.Announce]] = []
        self._notices: list[str] = []
        self._announced: transport.Fetched | None = None
        fetching = transport.fetch(
            reference.parse(source), cache, platform=platform, progress=self._progress, notice=self._notice,
            announce=self._announce,
        )  # fmt: skip
        self.task = asyncio.get_running_loop().create_task(fetching)

    def join(self, progress: Progress, notice: Notice, announce: transport.Announce) -> None:
        self.listeners.append((progress, notice, announce))
        for text in self._notices:
            notice(text)
        if self._announced is not None:
            announce(self._announced)

    def _progress(self, stage: str, done: int, total: int | None) -> None:
        for progress, _, _ in self.listeners:
            progress(stage, done, total)

    def _notice(self, text: str) -> None:
        self._notices.append(text)
        for _, notice, _ in self.listeners:
            notice(text)

    def _announce(self, image: transport.Fetched) -> None:
        self._announced = image
        for _, _, announce in self.listeners:
            announce(image)


class Downloads:
    """Those into one cache."""

    def __init__(self, directory: str) -> None:
        self.cache = Cache(directory)
        self._wanted: dict[str, int] = {}
        self._under_way: dict[str, _Download] = {}

    @contextlib.asynccontextmanager
    async def wanted(self, source: str) -> AsyncIterator[None]:
        """Keep a download of ``source`` going while the body runs, if there is one or somebody begins one."""
        self._wanted[source] = self._wanted.get(source, 0) + 1
        try:
            yield
        finally:
            self._wanted[source] -= 1
            if not self._wanted[source]:
                del self._wanted[source]
                await self._stop(source)

    async def _stop(self, source: str) -> None:
        download = self._under_way.pop(source, None)
        if download is not None:
            download.task.cancel()
            await asyncio.wait({download.task})
            if not download.task.cancelled():
                download.task.exception()  # nobody is left who would want to know

    async def fetch(
        self,
        source: str,
        platform: tuple[str, str],
        progress: Progress,
        notice: Notice,
        announce: transport.Announce = transport.unannounced,
    ) -> transport.Fetched:
        """The image, downloaded together with all others who want it. Raises what `transport.fetch` does."""
        async with self.wanted(source):
            download = self._under_way.get(source)
            if download is None or download.task.done():
                download = self._under_way[source] = _Download(source, self.cache.directory, platform)
            listener = (progress, notice, announce)
            download.join(*listener)
            try:
                return await asyncio.shield(download.task)
            finally:
                download.listeners.remove(listener)
