"""Owns the orders to stop a worker: signals, its time limit, a thread that failed; and their patience.

The first order stops it in order: what runs gets time. A second one always ends it: processes are
killed, and what a file system that does not answer still holds is left to the next worker. Where the
loop itself is held, nothing here can act: then the warden ends the worker (`warden`).
"""

import math
import time
from collections.abc import Callable

from stoker.errors import Bug
from stoker.work.incarnation import Incarnation
from stoker.work.orders import STOPPED
from stoker.work.signals import Signals

PATIENCE_S = 10.0  # that running attempts get to end by themselves once the worker is to stop
LAST_S = 2.0  # that a second order leaves to an end in order; what hangs longer is left behind
_GRACE_S = 5.0  # between TERM and KILL, when patience is over


class Stopping:
    """What has been ordered, and since when. `wake` is called for an order from another thread."""

    def __init__(self, wake: Callable[[], None], *, time_limit_s: float | None) -> None:
        self._wake = wake
        self._began_s = time.monotonic()
        self._time_limit_s = time_limit_s
        self._is_time_up = False  # which counts as one order
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

    def fail(self, problem: BaseException) -> None:
        """Stop in order, since a thread of the worker met this. From any thread."""
        self._failure = self._failure or problem
        self._wake()

    @property
    def is_ordered(self) -> bool:
        """Whether the worker is to end."""
        return self._orders.count > 0 or self._failure is not None

    @property
    def is_under_way(self) -> bool:
        """Whether running attempts have been told, or are left to end by themselves."""
        return self._since_s is not None

    @property
    def is_overdue(self) -> bool:
        """Whether what is still in hand has had all the time that the last order left to it."""
        return time.monotonic() >= self._last_s

    @property
    def was_asked(self) -> bool:
        """Whether somebody stopped the worker before its own time."""
        return self._orders.count > self._is_time_up

    def hold(self, incarnation: Incarnation) -> None:
        """What is ordered by now is under way. Called in every turn of the loop."""
        now_s = time.monotonic()
        limit_s = self._time_limit_s
        if limit_s is not None and now_s - self._began_s >= limit_s and not self._orders.count:
            self._orders.add()
            self._is_time_up, self._time_limit_s = True, None
        if not self.is_ordered:
            return
        if not incarnation.is_stopping:
            incarnation.begin_to_stop()
        if self._since_s is None:
            self._since_s = now_s
        if self._orders.count > 1:
            self._last_s = min(self._last_s, now_s + LAST_S)
            incarnation.stop_all(STOPPED, grace_s=0.0)
        elif self._failure is not None and not self._is_hurried:
            self._last_s = now_s + PATIENCE_S  # of what is in hand, some may never end
            self._hurry(incarnation)
        elif now_s - self._since_s >= PATIENCE_S and not self._is_hurried:
            self._hurry(incarnation)

    def _hurry(self, incarnation: Incarnation) -> None:
        self._is_hurried = True
        incarnation.stop_all(STOPPED, grace_s=_GRACE_S)

    def raise_failure(self) -> None:
        """Bug if a thread has failed."""
        if self._failure is not None:
            what = f"{type(self._failure).__name__}: {self._failure}"
            raise Bug(f"a thread of the worker failed: {what}") from self._failure
