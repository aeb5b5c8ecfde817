"""The pulse of the store: whether anything has happened, asked once for all who wait for it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from stoker.errors import StokerError

BEAT_S = 0.05  # between two looks while anybody waits
OUTAGE_S = 1.0  # the same while the store does not answer


class Pulse:
    """Looks at the newest row of the journal while there is somebody who waits for the next.

    `number` grows with the journal. It says when to look again, and is no cursor: rows commit late.
    `newest` returns it, and `stopping` is set when the service ends. `is_away`: the store did not answer
    the last look.
    """

    def __init__(self, newest: Callable[[], Awaitable[int]], stopping: asyncio.Event) -> None:
        self._newest = newest
        self._stopping = stopping
        self.number = 0
        self.is_away = False
        self._looked_s = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._waiting = 0
        self._beat = asyncio.Event()
        self._looker: asyncio.Task[None] | None = None

    async def changed(self, seen: int, *, within_s: float) -> int:
        """Return the number once it is another than `seen`, after `within_s`, or when the service ends.

        Also when the store goes away, or is back.
        """
        self._waiting += 1
        was_away = self.is_away
        if self._looker is None or self._looker.done():
            self._looker = asyncio.get_running_loop().create_task(self._look())
        try:
            async with asyncio.timeout(within_s):
                while (
                    self.number == seen and self.is_away == was_away and not self._stopping.is_set()
                ):
                    await self._beat.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting -= 1
        return self.number

    async def current(self) -> int:
        """Return the number as it was a moment ago: all who ask in that moment share one look.

        Unavailable if the store does not answer.
        """
        loop = asyncio.get_running_loop()
        if loop.time() - self._looked_s >= BEAT_S:
            if self._looking is None or self._looking.done():
                self._looking = loop.create_task(self._look_once())
            await asyncio.shield(self._looking)
        return self.number

    def expire(self) -> None:
        """Something was changed by this process: the next caller looks again."""
        self._looked_s = 0.0

    async def _look_once(self) -> None:
        began_s = asyncio.get_running_loop().time()
        number = await self._newest()
        self._looked_s = began_s
        if number != self.number:
            self.number = number
            self._ring()

    async def _look(self) -> None:
        while self._waiting and not self._stopping.is_set():
            pause_s = BEAT_S
            was_away = self.is_away
            try:
                await self._look_once()
                self.is_away = False
            except (StokerError, OSError):
                self.is_away = True
                pause_s = OUTAGE_S
            if self.is_away != was_away:
                self._ring()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
        self._ring()

    def _ring(self) -> None:
        beat, self._beat = self._beat, asyncio.Event()
        beat.set()
