"""Where ended attempts are concluded: at once if that is quick, else in threads.

Publishing, checksums and the removal of big scratches can take minutes, or hang with a file server;
the main loop must not. What threads have concluded waits here for the main loop.
"""

import logging
import time
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING

from stoker.errors import StaleAttempt, StoreGone
from stoker.failpoints import hit
from stoker.model.task import Result
from stoker.work import threads
from stoker.work.capture import TEXT_BYTES
from stoker.work.conclude import conclude, unstarted
from stoker.work.desk import Desk
from stoker.work.ends import Ends
from stoker.work.exit import Exit
from stoker.work.running import Running
from stoker.work.watch import Watcher

if TYPE_CHECKING:
    import threading

    from stoker.model.id_types import AttemptId

_log = logging.getLogger(__name__)


class Closing:
    """Takes attempts whose processes are gone, and records their ends."""

    def __init__(self, desk: Desk, watcher: Watcher, ends: Ends, *, slots: int) -> None:
        self._in_hand: dict[AttemptId, Running] = {}  # what threads are busy with
        self._desk = desk
        self._watcher = watcher
        self._ends = ends
        self._most = 2 * slots + 2
        self._most_threads = max(4, slots)
        self._threads: list[threading.Thread] = []
        self._todo: SimpleQueue[tuple[Running, Exit | None] | None] = SimpleQueue()
        self._concluded: deque[tuple[Running, Result | None, bool]] = deque()

    @property
    def count(self) -> int:
        """Of how many attempts threads are busy with the end."""
        return len(self._in_hand)

    @property
    def publishing(self) -> list[Running]:
        """The attempts whose outputs are being published."""
        return [one for one in self._in_hand.values() if one.publishing_us is not None]

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be started before some of this is done."""
        return self.count >= self._most

    def take(self, running: Running, end: Exit) -> None:
        """The attempt is concluded now or soon."""
        if self._is_quick(running, end):
            result = self._conclude(running, end)
            if result is not None:
                self._ends.record(result)
            if running.seat is None or self._is_tidy(running):
                running.give_up_seat(is_clean=True)
                return
            self._submit(running, None)
        else:
            self._submit(running, end)

    def _is_quick(self, running: Running, end: Exit) -> bool:
        """Whether a few system calls are all that is to be done."""
        if running.recipe.step.outputs or running.recipe.error_folder is not None:
            return False
        place = running.place
        if place is not None:
            sizes = (place.stdout.size_bytes, place.stderr.size_bytes)
            end.is_silent = not any(sizes)
            return max(sizes) <= TEXT_BYTES
        return max(end.stdout.size_bytes, end.stderr.size_bytes) <= TEXT_BYTES

    def _is_tidy(self, running: Running) -> bool:
        """Whether the attempt left nothing in its seat, so that it serves again as it is."""
        seat = running.seat
        if seat is None or seat.is_used or not seat.is_pristine:
            return False
        seat.is_ready = True
        return True

    def _submit(self, running: Running, end: Exit | None) -> None:
        self._in_hand[running.claimed.attempt] = running
        self._todo.put((running, end))
        if len(self._threads) < min(self.count, self._most_threads):
            self._threads.append(
                threads.start(self._work, name="stoker-conclude", on_failure=self._desk.fail)
            )

    def _work(self) -> None:
        """Conclude what is still to be concluded, and clean the seats, until there is no more."""
        while (given := self._todo.get()) is not None:
            running, end = given
            result = None if end is None else self._conclude(running, end)
            is_clean = running.seat is None or running.seat.clean(self._desk.folder)
            hit("scratch_wiped")
            self._concluded.append((running, result, is_clean))
            self._watcher.wake()

    def _conclude(self, running: Running, end: Exit) -> Result | None:
        """Return the result; None if the task has moved on to another attempt."""
        try:
            place = running.place
            if place is not None and not end.is_silent:
                end.stdout, end.stderr = place.stdout.collect(), place.stderr.collect()
            return conclude(running, end, self._desk)
        except (StaleAttempt, StoreGone):  # of the second, the loop hears from the store
            return None
        except Exception as problem:  # noqa: BLE001 - an attempt must end, whatever is wrong with it
            if not isinstance(problem, OSError):
                _log.exception("an attempt could not be concluded", extra={"event": "bug"})
            return unstarted(running.claimed, self._desk.failure_of(running.claimed, problem))

    def collect(self) -> None:
        """What threads have concluded is among the results, and its seat free."""
        while self._concluded:
            running, result, is_clean = self._concluded.popleft()
            self._in_hand.pop(running.claimed.attempt, None)
            if result is not None:
                self._ends.record(result)
            running.give_up_seat(is_clean=is_clean)

    def close(self, *, within_s: float) -> bool:
        """Whether the threads have ended; one that hangs is not waited for beyond the time."""
        until_s = time.monotonic() + within_s
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)
