"""What many pages show is read once for all of them: the newest answer of a verb, and its age."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar

from stoker.errors import Unavailable

if TYPE_CHECKING:
    from stoker.web.site import Site

KEPT_S = 1.0
SHARE = (
    10  # an answer that took long is kept so many times as long: a tenth of the time is spent on it
)
STALE_S = 60.0  # up to this age, an answer is shown while the next is on its way
AWAY_S = 2.0  # after an outage was met, nobody waits for the store again for so long
_QUICK_S = 0.1

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Seen(Generic[Value]):
    """An answer, when it was read, and why there is no newer one; None where there could be."""

    value: Value
    at: datetime
    trouble: str | None = None


class Latest(Generic[Value]):
    """The newest answer of one verb. All who ask share one reading of the store."""

    def __init__(self, site: "Site", verb: Callable[[], Value]) -> None:
        self._site = site
        self._verb = verb
        self._seen: Seen[Value] | None = None
        self._read_s = float("-inf")  # when the reading began whose answer is good for a while
        self._shown_s = float("-inf")  # when that of the newest answer began
        self._times_forgotten = 0
        self._took_s = 0.0
        self._reading: asyncio.Task[None] | None = None
        self._trouble: tuple[float, str] | None = None  # when the store was away, and its words

    async def get(self) -> Seen[Value]:
        """Return the answer; an older one where the store is away, and Unavailable without any."""
        age_s = self._site.now_s() - self._read_s
        if self._seen is not None and age_s < max(KEPT_S, SHARE * self._took_s):
            return self._seen
        if self._seen is not None and self._trouble is not None:
            met_s, trouble = self._trouble
            if self._site.now_s() - met_s < AWAY_S:
                return Seen(self._seen.value, self._seen.at, trouble)
        reading = self._begin()
        is_slow = self._took_s > _QUICK_S
        if self._seen is not None and is_slow and age_s < STALE_S and self._trouble is None:
            return self._seen
        try:
            await asyncio.shield(reading)
        except Unavailable as error:
            if self._seen is None:
                raise
            return Seen(self._seen.value, self._seen.at, str(error))
        assert self._seen is not None  # noqa: S101 - the reading that has ended has set it
        return self._seen

    @property
    def due_s(self) -> float:
        """From when on it may be read again because something has happened."""
        return self._read_s + SHARE * self._took_s

    def renew(self, since_s: float) -> None:
        """Something had happened by then: the next caller gets what was read later, if that is due."""
        if self._read_s < since_s and self._site.now_s() >= self.due_s:
            self._forget()

    def expire(self) -> None:
        """Something was changed here: the next caller reads it again."""
        self._took_s = 0.0
        self._forget()

    def _forget(self) -> None:
        """Neither the newest answer nor one that is on its way is good for the next caller."""
        self._read_s = float("-inf")
        self._times_forgotten += 1
        self._reading = None

    def _begin(self) -> "asyncio.Task[None]":
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._read())
            self._reading.add_done_callback(_heard)
        return self._reading

    async def _read(self) -> None:
        began_s, at, times = self._site.now_s(), datetime.now(UTC), self._times_forgotten
        try:
            value = await self._site.call(self._verb)
        except Unavailable as error:  # also where nobody waits: the next who asks is to know
            self._trouble = self._site.now_s(), str(error)
            raise
        self._trouble = None
        if began_s >= self._shown_s:
            self._seen, self._shown_s = Seen(value, at), began_s
            self._took_s = self._site.now_s() - began_s
            if times == self._times_forgotten:  # otherwise something has happened meanwhile
                self._read_s = began_s


def _heard(task: "asyncio.Task[None]") -> None:
    """Callers that wait get the error; without any, the next one reads again."""
    if not task.cancelled():
        task.exception()
