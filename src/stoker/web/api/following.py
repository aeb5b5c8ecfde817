"""Streams that are followed: all who follow the same one share its open file, and its looks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from stoker.project.log_reading import LogPiece, LogTail
from stoker.web.once import Once
from stoker.web.site import Site

PIECE_BYTES = 1 << 16
FRESH_S = 0.2  # for which a look is as good as another
_Name = tuple[int, str, str]  # the site, the attempt and the stream
_followed: dict[_Name, "Followed"] = {}


class Followed:
    """One stream of an attempt, and how many follow it."""

    def __init__(self, site: Site, attempt: str, stream: str) -> None:
        self._site = site
        self._tail = LogTail(site.project, attempt, stream)
        self._looks: Once[int, LogPiece] = Once()
        self._lock = asyncio.Lock()
        self._last: dict[int, tuple[float, LogPiece]] = {}
        self.followers = 0

    async def read(self, at: int) -> LogPiece:
        """Return what there is from this byte on, as it was a moment ago."""
        known = self._last.get(at)
        if known is not None and self._site.now_s() - known[0] < FRESH_S:
            return known[1]
        return await self._looks.get(at, lambda: self._read(at))

    async def _read(self, at: int) -> LogPiece:
        async with self._lock:  # it opens its file once
            piece = await self._site.call(self._tail.read, at, PIECE_BYTES)
        now_s = self._site.now_s()
        self._last = {n: one for n, one in self._last.items() if now_s - one[0] < FRESH_S}
        self._last[at] = now_s, piece
        return piece

    async def close(self) -> None:
        """The file is given back, once nobody reads it."""
        await self._looks.settle()
        self._tail.close()


@asynccontextmanager
async def follow(site: Site, attempt: str, stream: str) -> AsyncIterator[Followed]:
    """In the block the stream is followed; the last one closes it."""
    name = (id(site), attempt, stream)
    found = _followed.get(name)
    if found is None:
        found = _followed[name] = Followed(site, attempt, stream)
    found.followers += 1
    try:
        yield found
    finally:
        found.followers -= 1
        if not found.followers:
            _followed.pop(name, None)
            with anyio.CancelScope(shield=True):
                await found.close()
