"""The bytes of a file on their way to the disk: written in large pieces while the next ones come."""

import asyncio
from collections.abc import Callable, Sequence

from stoker.web.site import Site

PIECE_BYTES = 1 << 20  # written by one call of a thread
_LARGE_BYTES = 1 << 16  # a chunk that is worth a write of its own


class Pieces:
    """Passes chunks on to `write`, in order and off the loop; nothing more after a chunk that fails.

    What is wrong with a chunk is raised by a later call. In the end, `end` or `drop` it.
    """

    def __init__(self, site: Site, write: Callable[[bytes], None]) -> None:
        self._site = site
        self._write = write
        self._chunks: list[bytes] = []
        self._bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self._has_failed = False

    async def add(self, chunk: bytes) -> None:
        """The chunk is on its way to the disk."""
        self._chunks.append(chunk)
        self._bytes += len(chunk)
        if self._bytes >= PIECE_BYTES:
            await self._begin()

    async def end(self) -> None:
        """Everything that was added is written."""
        await self._begin()
        await self._written()

    async def drop(self) -> None:
        """Nothing is being written any more; what was not written yet is gone."""
        self._chunks = []
        if self._writing is not None:
            await asyncio.wait([self._writing])
            self._writing.exception()  # it was raised already, or does not matter any more

    async def _begin(self) -> None:
        """The chunks so far are being written, and those before are."""
        chunks, self._chunks, self._bytes = self._chunks, [], 0
        await self._written()
        if chunks and not self._has_failed:
            write = self._site.call(_write_all, self._write, chunks)
            self._writing = asyncio.create_task(write)

    async def _written(self) -> None:
        writing = self._writing
        if writing is not None:
            await asyncio.wait([writing])  # a client that goes away ends this wait, not the write
            self._writing = None
            self._has_failed = self._has_failed or writing.exception() is not None
            writing.result()


def _write_all(write: Callable[[bytes], None], chunks: Sequence[bytes]) -> None:
    """Small chunks go together, large ones as they are: nothing is copied then."""
    size_bytes = sum(map(len, chunks))
    for chunk in chunks if size_bytes >= len(chunks) * _LARGE_BYTES else [b"".join(chunks)]:
        write(chunk)
