"""Owns what a worker reports to its observers: when, and what a snapshot holds."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from stoker.work.progress import Current, Event
from stoker.work.reports import Counts

if TYPE_CHECKING:
    from stoker.work.incarnation import Incarnation

EVENT_S = 0.1  # between two snapshots at least
RATE_S = 2.0  # over which ends are counted


class Telling:
    """Calls `on_event`, if there is one, with snapshots of the worker that began at `began_s`."""

    def __init__(
        self, on_event: Callable[[Event], None] | None, counts: Counts, began_s: float
    ) -> None:
        self._on_event = on_event
        self._counts = counts
        self._began_s = began_s
        self._next_s = 0.0
        self._rate_from = (began_s, 0)
        self._rate = 0.0

    @property
    def is_heard(self) -> bool:
        """Whether anybody watches."""
        return self._on_event is not None

    def is_due(self) -> bool:
        """Whether it is time for a snapshot that somebody watches for."""
        return self._on_event is not None and time.monotonic() >= self._next_s

    def tell(self, incarnation: "Incarnation", trouble: str | None) -> None:
        """The observer has a snapshot of the incarnation; `trouble` is why it claims nothing."""
        now_s = time.monotonic()
        self._next_s = now_s + EVENT_S
        since_s, count = self._rate_from
        if now_s - since_s >= RATE_S:
            self._rate = (self._counts.total - count) / (now_s - since_s)
            self._rate_from = (now_s, self._counts.total)
        executor = incarnation.executor
        running = tuple(
            Current(
                pipeline=one.claimed.pipeline,
                step=one.claimed.step,
                key=one.claimed.key,
                elapsed_s=now_s - one.process.started_s,
                is_publishing=one.publishing_us is not None,
            )
            for one in (*executor.running.values(), *executor.publishing)
        )
        self._say(
            running,
            queued=len(incarnation.claims.queue),
            rate=self._rate,
            is_stopping=incarnation.is_stopping,
            trouble=trouble,
            crowding=incarnation.claims.crowding,
        )

    def tell_of_waiting(self, trouble: str) -> None:
        """The observer has a snapshot of a worker that cannot begin for that reason."""
        self._say((), queued=0, rate=0.0, is_stopping=False, trouble=trouble, crowding=1.0)

    def _say(
        self,
        running: tuple[Current, ...],
        *,
        queued: int,
        rate: float,
        is_stopping: bool,
        trouble: str | None,
        crowding: float,
    ) -> None:
        if self._on_event is None:
            return
        counts = self._counts
        event = Event(
            done=counts.done,
            failed=counts.failed,
            skipped=counts.skipped,
            cancelled=counts.cancelled,
            running=running,
            queued=queued,
            rate=rate,
            elapsed_s=time.monotonic() - self._began_s,
            is_stopping=is_stopping,
            trouble=trouble,
            crowding=crowding,
        )
        self._on_event(event)
