"""Owns the tasks that a worker has claimed and not started: how many to take, and what goes back."""

import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterable

from stoker.errors import StaleAttempt, Unavailable
from stoker.failpoints import hit
from stoker.model.id_types import AttemptId, WorkerId
from stoker.model.shares import Ledger
from stoker.model.task import Claimed, Result
from stoker.model.worker import StepKey, TimeLeft
from stoker.work.link import Link
from stoker.work.prefetch import Appetite
from stoker.work.recipe import Recipe
from stoker.work.running import Running
from stoker.work.term import Term

PAUSE_S = 0.02  # after a claim that found nothing; doubles up to
PAUSE_MOST_S = 1.0  # times the crowding
MOST_CROWDED = 10.0

_log = logging.getLogger(__name__)


class Claims:
    """The queue of claimed tasks, in the order in which they start.

    `is_doubtful` once a claim may have committed without our hearing of it: then this incarnation
    ends as soon as it holds nothing, and what it may hold unknowingly is given to others.
    """

    def __init__(
        self,
        link: Link,
        worker_id: WorkerId,
        recipe_of: Callable[[Claimed], Recipe],
        *,
        slots: int,
        memory_bytes: int,
        term: Term | None = None,
    ) -> None:
        self.queue: deque[Running] = deque()
        self.appetite = Appetite(slots)
        self.ledger = Ledger()
        self.serial = 0
        self.is_doubtful = False
        self.found_nothing = False  # in the latest claim
        self.crowded_s = 0.0  # the time for which others filled all that it could have used
        self.crowding = 1.0  # of this worker's place, as the latest claim saw it
        self._crowded_s = -math.inf
        self.trouble: str | None = None
        self.next_s = 0.0
        self._link = link
        self._worker_id = worker_id
        self._recipe_of = recipe_of
        self._slots = slots
        self._term = term
        self._memory_bytes = memory_bytes
        self._counts: dict[StepKey, int] = {}
        self._pause_s = PAUSE_S

    def push(self, tasks: Iterable[Running]) -> None:
        """These tasks are at the end of the queue."""
        for running in tasks:
            self.queue.append(running)
            self._count(running, 1)

    def push_back(self, tasks: Iterable[Running]) -> None:
        """These tasks are at the head of the queue again, in their order."""
        for running in reversed(list(tasks)):
            self.queue.appendleft(running)
            self._count(running, 1)

    def pop(self) -> Running:
        """Take the first task."""
        running = self.queue.popleft()
        self._count(running, -1)
        return running

    def remove(self, attempts: Iterable[AttemptId]) -> list[Running]:
        """Take these tasks out of the queue, as far as they are in it; return them."""
        wanted = frozenset(attempts)
        found = [running for running in self.queue if running.claimed.attempt in wanted]
        for running in found:
            self.queue.remove(running)
            self._count(running, -1)
        return found

    def _count(self, running: Running, by: int) -> None:
        key = running.recipe.key
        self._counts[key] = self._counts.get(key, 0) + by

    @property
    def queued_s(self) -> float:
        """The expected time of all that is queued."""
        if not self.queue:
            return 0.0
        return sum(n * self.appetite.expected_s(key) for key, n in self._counts.items() if n)

    def hurry(self) -> None:
        """Something has changed: the next claim need not wait."""
        self.next_s = 0.0
        self._pause_s = PAUSE_S

    def refill(self, *, cpus_used: int, memory_used: int) -> bool:
        """Claim what this worker has room and time for; return whether the store was asked.

        StaleAttempt if the worker has been declared dead.
        """
        free = self._slots - cpus_used
        limit = self.appetite.limit(free, self.queued_s)
        if limit <= 0 or time.monotonic() < self.next_s:
            return False
        is_ahead = limit > free
        try:
            grant = self._link.claim(
                self._worker_id,
                limit=limit,
                cpus_free=self._slots if is_ahead else free,
                memory_free_bytes=self._memory_bytes - memory_used,
                portion=self.appetite.portion(free, self._memory_bytes),
                ledger=self.ledger,
                left=self._time_left(),
            )
            hit("claimed")
            self.ledger = grant.ledger
            self.crowding = min(grant.crowding, MOST_CROWDED)
            if grant.is_crowded:
                self._note_crowded()
            self._take(grant.tasks)  # may ask for their pipelines
        except StaleAttempt:
            raise
        except Unavailable as problem:
            self.trouble = str(problem)
            self.is_doubtful = True
            self._wait()
            return True
        self.trouble = None
        self.found_nothing = not grant.tasks
        if grant.tasks:
            self._pause_s = PAUSE_S
        if len(grant.tasks) < limit:  # there is no more for this worker, as long as nothing changes
            self._wait()
        return True

    def have_nothing_to_come(self) -> bool:
        """Whether the store has nothing for this worker, which holds nothing, and will have nothing.

        If it has, the next claim need not wait. StaleAttempt if the worker has been declared dead.
        """
        is_over = self._link.has_nothing_for(
            self._worker_id,
            cpus_free=self._slots,
            memory_free_bytes=self._memory_bytes,
            left=self._time_left(),
        )
        if not is_over:
            self.next_s = 0.0
        return is_over

    def _time_left(self) -> TimeLeft | None:
        """Return what this worker has until its end, if it has one."""
        if self._term is None:
            return None
        return TimeLeft(self._term.usable_s(), is_early=time.monotonic() < self._term.half_s)

    def _note_crowded(self) -> None:
        """Other workers fill all cpus that this one has free: how long, its last words tell."""
        now_s = time.monotonic()
        if now_s - self._crowded_s <= 2 * PAUSE_MOST_S * self.crowding:
            self.crowded_s += now_s - self._crowded_s
        self._crowded_s = now_s

    def _wait(self) -> None:
        """Ask again later, and later each time.

        Workers that share cpus ask in proportion less often, and not at the same moments: together
        they ask as often as one alone would, and whichever of them finds something fills their cpus.
        """
        self.next_s = time.monotonic() + self._pause_s * random.uniform(0.75, 1.25)  # noqa: S311 - to part them
        self._pause_s = min(2 * self._pause_s, PAUSE_MOST_S * self.crowding)

    def _take(self, tasks: list[Claimed]) -> None:
        for one in tasks:
            self.serial += 1
            self.push([Running(one, self._recipe_of(one), self.serial)])

    def give_back(self, tasks: Iterable[Running]) -> None:
        """These tasks, which never began, are ready again.

        If the store cannot be asked they are lost with this incarnation, which then ends soon.
        """
        claimed = [running.claimed for running in tasks]
        if not claimed:
            return
        for one in claimed:
            self.ledger.end(one.attempt, None)
        try:
            self._link.give_back(claimed)
        except Unavailable as problem:
            self.trouble = str(problem)
            self.is_doubtful = True

    def settle(self, result: Result) -> None:
        """The ledger of fair shares knows how long the attempt took."""
        if result.started_us is None:
            self.ledger.end(result.attempt, None)
        else:
            elapsed_us = max(result.ended_us - result.started_us, 0)
            self.ledger.end(result.attempt, elapsed_us / 1_000_000)

    def clear(self) -> list[Running]:
        """Empty the queue; return what was in it."""
        tasks = list(self.queue)
        self.queue.clear()
        self._counts.clear()
        return tasks
