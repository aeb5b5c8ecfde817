"""Owns what stops a worker: signals, the end of its term, a thread that failed; and their patience.

A warning that the end is near lets it claim nothing more, and finish what it has. The first order
stops it in order: what runs gets time. A second one always ends it: processes are
killed, and what a file system that does not answer still holds is left to the next worker. Where the
loop itself is held, nothing here can act: then the warden ends the worker (`warden`).
"""

import math
import signal
import time
from collections.abc import Callable

from stoker.errors import Bug
from stoker.work.incarnation import Incarnation
from stoker.work.orders import STOPPED
from stoker.work.scheduler import Job
from stoker.work.signals import Signals, early

PATIENCE_S = 10.0  # that running attempts get to end by themselves once the worker is to stop
LAST_S = 2.0  # that a second order leaves to an end in order; what hangs longer is left behind
_GRACE_S = 5.0  # between TERM and KILL, when patience is over


def patience(notice_s: float | None) -> tuple[float, float]:
    """Return how long what runs may go on after an order, and then between TERM and KILL.

    All of it is over a moment before the kill of a batch system that gives `notice_s`.
    """
    if notice_s is None:
        return PATIENCE_S, _GRACE_S
    patience_s = min(max(notice_s - 2 * _GRACE_S, 0.0), PATIENCE_S)
    return patience_s, min(_GRACE_S, max(notice_s - patience_s, 0.0) / 2)


class Stopping:
    """What has been ordered, and since when. `wake` is called for an order from another thread."""

    def __init__(self, wake: Callable[[], None], job: Job) -> None:
        self._wake = wake
        self._term = job.term
        self._last_word = signal.SIGUSR2 if job.is_last_word else None
        self._patience_s, self._grace_s = patience(job.notice_s)
        self._is_time_up = False
        self._is_warned = bool(early)
        self._orders = Signals()
        self._since_s: float | None = None
        self._is_hurried = False
        self._last_s = math.inf
        self._failure: BaseException | None = None

    def order(self) -> None:
        """Stop: the first time in order, the second at once. From any thread."""
        self._orders.add()
        self._wake()

    def on_signal(self, _number: int, _frame: object) -> None:
        """Take an order that comes as a signal."""
        self._orders.add_signal()

    def on_warning(self, number: int, _frame: object) -> None:
        """Take a signal that the end is near; it is an order where the kill follows it."""
        self._is_warned = True
        if number == self._last_word:
            self._orders.add_signal()

    def fail(self, problem: BaseException) -> None:
        """Stop in order, since a thread of the worker met this. From any thread."""
        self._failure = self._failure or problem
        self._wake()

    @property
    def is_ordered(self) -> bool:
        """Whether the worker is to end."""
        return self._orders.count > 0 or self._is_time_up or self._failure is not None

    @property
    def is_under_way(self) -> bool:
        """Whether running attempts have been asked to stop, or are left to end by themselves."""
        return self._since_s is not None

    @property
    def is_overdue(self) -> bool:
        """Whether what is still in hand has had all the time that the last order left to it."""
        return time.monotonic() >= self._last_s

    @property
    def was_asked(self) -> bool:
        """Whether somebody stopped the worker before its own time."""
        return self._orders.count > 0 and not self._is_time_up

    @property
    def is_time_up(self) -> bool:
        """Whether the end of the worker's term has stopped it."""
        return self._is_time_up

    def hold(self, incarnation: Incarnation) -> None:
        """What is ordered by now is under way. Called in every turn of the loop."""
        now_s = time.monotonic()
        self._mind_term(incarnation, now_s)
        if not (self.is_ordered or self._is_warned):
            return
        if not incarnation.is_stopping:
            incarnation.begin_to_stop(publish_s=math.inf)  # an order bounds it, below
        if not self.is_ordered:
            return
        if self._since_s is None:
            self._since_s = now_s
            incarnation.orders.stop()
        if self._orders.count > 1:
            self._last_s = min(self._last_s, now_s + LAST_S)
            incarnation.stop_all(STOPPED, grace_s=0.0)
        elif self._failure is not None and not self._is_hurried:
            self._last_s = now_s + PATIENCE_S  # of what is in hand, some may never end
            self._hurry(incarnation)
        elif (
            self._orders.count
            and now_s - self._since_s >= self._patience_s
            and not self._is_hurried
        ):
            self._hurry(incarnation)

    def _mind_term(self, incarnation: Incarnation, now_s: float) -> None:
        """At the end of its term what still runs is stopped, so that the worker is gone by then."""
        term = self._term
        if term is None or now_s < term.stops_s:
            return
        part_s = term.end_in_order_s / 4
        if not self._is_time_up:
            self._is_time_up = True
            self._last_s = min(self._last_s, term.ends_s - part_s / 2)
            incarnation.begin_to_stop(publish_s=2 * part_s)
            incarnation.stop_for_time(term, grace_s=min(part_s, self._grace_s))

    def _hurry(self, incarnation: Incarnation) -> None:
        self._is_hurried = True
        incarnation.stop_all(STOPPED, grace_s=self._grace_s)

    def raise_failure(self) -> None:
        """Bug if a thread has failed."""
        if self._failure is not None:
            what = f"{type(self._failure).__name__}: {self._failure}"
            raise Bug(f"a thread of the worker failed: {what}") from self._failure
