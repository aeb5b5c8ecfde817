"""Owns the heartbeat: the worker's right to its attempts, renewed from a thread of its own.

The thread does nothing but call the store and note what came back, so that no attempt's I/O can
hold it up. A second thread, which calls nobody, frees at the lease's end all that wait for a store
that does not answer: attempts have to be stopped then. Time is measured with the clock that goes on while the machine sleeps: a worker that was
frozen knows at once that its lease has run out.
"""

import logging
import threading
import time
from collections.abc import Callable

from stoker.errors import StaleAttempt, StokerError, StoreGone
from stoker.model.id_types import AttemptId, WorkerId
from stoker.work import threads
from stoker.work.link import Link
from stoker.work.patience import Patience

LEASE_S = 20.0
RENEW_S = 5.0
LOOK_S = 1.0  # between two looks at the clock, which goes on while the machine sleeps
BRISK_S = 1.0  # while an attempt has been running for longer than a second
MARGIN_S = 4.0  # before its end, at which the worker gives its attempts up by itself

_log = logging.getLogger(__name__)


def boot_clock_s() -> float:
    """Seconds that went by since some moment, the machine's sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One incarnation's lease.

    `wake` is called from the thread when there is something to look at, `fail` when it cannot go on.
    `serial` is set by the worker: the number of its claims so far. `told` and `told_serial` are the
    attempts that the store believed to be this worker's after that many claims, so that an attempt
    missing there has been taken away.
    """

    def __init__(
        self,
        link: Link,
        worker_id: WorkerId,
        wake: Callable[[], None],
        fail: Callable[[BaseException], None],
        *,
        lease_s: float,
    ) -> None:
        self._link = link
        self._worker_id = worker_id
        self._wake = wake
        self._lease_s = lease_s
        self._renewed_at = boot_clock_s()
        self._is_dead = False
        self._stop = threading.Event()
        self._bell = threading.Event()
        self._lock = threading.Lock()
        self._cancel: set[AttemptId] = set()
        self._told: tuple[int, frozenset[AttemptId]] | None = None
        self.serial = 0
        self._is_brisk = False
        self._thread = threads.start(self._beat, name="stoker-lease", on_failure=fail)
        self._guard = threads.start(self._watch, name="stoker-lease-guard", on_failure=fail)

    @property
    def is_held(self) -> bool:
        """Whether this worker may still act for its attempts; once it may not, it never may again.

        One that learned that it may not has dropped what it had in hand. A renewal that comes late,
        and is granted, must not make the store wait for that.
        """
        if self._left_s() <= 0:
            self._is_dead = True
        return not self._is_dead

    def _left_s(self) -> float:
        margin = min(MARGIN_S, self._lease_s / 4)
        return self._renewed_at + self._lease_s - margin - boot_clock_s()

    def be_brisk(self, *, wanted: bool) -> None:
        """Renew, and so hear of orders, every second from now on, or at leisure again."""
        if wanted and not self._is_brisk:
            self._bell.set()
        self._is_brisk = wanted

    def take_orders(self) -> tuple[frozenset[AttemptId], tuple[int, frozenset[AttemptId]] | None]:
        """Return the attempts to cancel, and what the store was last heard to count as ours."""
        with self._lock:
            orders, self._cancel = frozenset(self._cancel), set()
            told, self._told = self._told, None
        return orders, told

    def end(self) -> None:
        """No more renewals, and no right; returns when the threads have stopped, or soon if they hang."""
        self._is_dead = True  # for threads that are left behind with something to publish
        self._stop.set()
        self._bell.set()
        self._thread.join(timeout=2.0)
        self._guard.join(timeout=2.0)

    def _beat(self) -> None:
        outage = Patience()
        while True:
            self._bell.wait(self._pause_s())
            self._bell.clear()
            if self._stop.is_set():
                return
            began, serial = boot_clock_s(), self.serial
            try:
                renewal = self._link.renew(self._worker_id, lease_s=self._lease_s)
            except StaleAttempt:
                self._declare_dead()
                return
            except StoreGone:
                self._wake()  # the loop hears of it from the store
                return
            except StokerError as error:
                if outage.is_news(str(error)):
                    _log.warning(
                        "the lease could not be renewed",
                        extra={"event": "renew_failed", "error": str(error)},
                    )
                continue
            outage.end()
            if not renewal.is_alive:
                self._declare_dead()
                return
            self._renewed_at = began
            with self._lock:
                self._cancel |= renewal.cancel
                self._told = (serial, renewal.running)
            self._wake()

    def _watch(self) -> None:
        """At the end of the lease, nobody waits any longer for what the store was asked before."""
        while not self._stop.wait(min(max(self._left_s(), 0.05), LOOK_S)):
            if not self.is_held:
                self._link.break_off()
                self._wake()
                return

    def _pause_s(self) -> float:
        return min(BRISK_S if self._is_brisk else RENEW_S, self._lease_s / 4)

    def _declare_dead(self) -> None:
        self._is_dead = True
        self._wake()
