"""Owns the delivery of results to the store: in batches, soon, and again until it takes them."""

import logging
import time
from collections.abc import Callable, Sequence

from stoker.errors import StokerError, StoreGone, Unavailable
from stoker.failpoints import hit
from stoker.model.id_types import AttemptId
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Result
from stoker.work.link import Link

BATCH = 128  # results in a delivery
DELAY_S = 0.02  # that a result may wait for others, while there is other work
DELAY_MOST_S = 0.2  # where the disk or the server is slow
SHARE = 0.1  # of the time at most goes into deliveries, as far as longer delays can help it
RETRY_S = 1.0  # after the store could not be reached

_log = logging.getLogger(__name__)


class Counts:
    """How many attempts ended how, and for how long others filled its cpus, over a worker's life."""

    def __init__(self) -> None:
        self.done = self.failed = self.skipped = self.cancelled = self.stale = 0
        self.crowded_s = 0.0

    def add(self, result: Result) -> None:
        """Count one recorded result; one that asks for another time (`later`) is none of these."""
        if result.verdict is Verdict.SKIP:
            self.skipped += 1
        elif result.state is AttemptState.SUCCEEDED:
            self.done += 1
        elif result.state is AttemptState.CANCELLED:
            self.cancelled += result.verdict is not Verdict.LATER
        else:
            self.failed += result.verdict is not Verdict.LATER

    @property
    def total(self) -> int:
        """All that ended."""
        return self.done + self.failed + self.skipped + self.cancelled


class Reports:
    """Delivers what is added; `on_recorded` hears of each.

    Results wait a moment for others, but for those of which somebody waits for the slots.
    """

    def __init__(
        self,
        link: Link,
        counts: Counts,
        *,
        on_recorded: Callable[[Result], None] = lambda _: None,
    ) -> None:
        self._results: list[Result] = []
        self.trouble: str | None = None
        self._delay_s = DELAY_S
        self._link = link
        self._counts = counts
        self._on_recorded = on_recorded
        self._oldest_s: float | None = None
        self._not_before_s = 0.0
        self._awaited: set[AttemptId] = set()
        self._is_awaited = False  # one of the results

    @property
    def is_any_left(self) -> bool:
        """Whether anything is still to be delivered."""
        return bool(self._results)

    def add(self, results: Sequence[Result]) -> None:
        """These are to be delivered, after those that came before."""
        self._results += results
        if self._awaited:
            those = self._awaited.intersection(one.attempt for one in results)
            self._awaited -= those
            self._is_awaited |= bool(those)

    def await_result(self, attempt: AttemptId) -> None:
        """The attempt's result will be delivered as soon as it is added, with all that wait then."""
        self._awaited.add(attempt)

    def due_s(self) -> float | None:
        """Return when results should be delivered, by the monotonic clock; None without any."""
        if not self._results:
            return None
        if self._oldest_s is None:
            self._oldest_s = time.monotonic()
        is_due = self._is_awaited or len(self._results) >= BATCH
        due = 0.0 if is_due else self._oldest_s + self._delay_s
        return max(due, self._not_before_s)

    def flush(self) -> bool:
        """Whether the store has recorded all results there were, or they no longer counted."""
        batch, began_s = self._results[:BATCH], time.monotonic()
        if not batch or began_s < self._not_before_s:
            return not batch
        try:
            stale = self._link.finish(batch)
        except Unavailable as problem:
            self.trouble = str(problem)
            self._not_before_s = time.monotonic() + RETRY_S
            return False
        except StoreGone:
            raise
        except StokerError:
            stale = self._one_by_one(batch)
        hit("recorded")
        self.trouble = None
        del self._results[: len(batch)]
        self._oldest_s = None
        self._is_awaited &= bool(self._results)
        took_s = time.monotonic() - began_s
        self._delay_s = min(max(DELAY_S, took_s / SHARE), DELAY_MOST_S)
        for result in batch:
            self._on_recorded(result)
            if result.attempt in stale:
                self._counts.stale += 1
            else:
                self._counts.add(result)
        return not self._results

    def _one_by_one(self, batch: list[Result]) -> frozenset[AttemptId]:
        """Deliver results singly, as one of them is refused; it is logged and counts as stale."""
        stale: set[AttemptId] = set()
        for result in batch:
            try:
                stale |= self._link.finish([result])
            except StoreGone:
                raise
            except StokerError:
                _log.exception("a result was refused", extra={"event": "result_refused"})
                stale.add(result.attempt)
        return frozenset(stale)
