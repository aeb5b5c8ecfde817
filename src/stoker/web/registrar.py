"""Submissions on their way into the store: those that come at the same time share a transaction.

They are read again in one, too, as their clients get their state. A transaction ends with a
wait for the disk, however much is in it. A client that comes alone is not held up: only where several
came together are further ones waited for, no longer than a transaction takes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from stoker.errors import LimitReached, NotFound

if TYPE_CHECKING:
    from stoker.store.arrivals.submit import Submission
    from stoker.store.reports.jobs import Job

MOST = 500  # in one transaction
GATHER_S = 0.004  # about the time of a transaction

Register = Callable[[str, "Sequence[Submission]"], Awaitable[Sequence["str | Exception"]]]
Read = Callable[["Sequence[str]"], Awaitable["Mapping[str, Job]"]]
_Waiting = tuple["Submission", "asyncio.Future[Job]"]


class Registrar:
    """Registers jobs, one transaction at a time, by `register`; `on_registered` is called after each.

    What was registered is read again by `read`, while the next transaction is under way.
    """

    def __init__(self, register: Register, read: Read, on_registered: Callable[[], None]) -> None:
        self._register_all = register
        self._read = read
        self._on_registered = on_registered
        self._waiting: dict[str, list[_Waiting]] = {}
        self._last = 0
        self._is_gathered = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    async def submit(self, pipeline: str, submission: "Submission") -> "Job":
        """Return the job, which is durable.

        LimitReached, OtherBody and OtherVersion as `store.arrivals.submit` says; Unavailable if the store does not
        answer: then nothing is registered, or the client may ask again with its `Idempotency-Key`.
        """
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Job] = loop.create_future()
        self._waiting.setdefault(pipeline, []).append((submission, found))
        if self._count() >= self._last:
            self._is_gathered.set()
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._work())
        return await found

    async def _work(self) -> None:
        while self._waiting:
            await self._gather()
            pipeline = next(iter(self._waiting))
            waiting = self._waiting.pop(pipeline)
            batch, rest = waiting[:MOST], waiting[MOST:]
            if rest:
                self._waiting[pipeline] = rest
            self._last = len(batch)
            await self._register(pipeline, batch)

    async def _gather(self) -> None:
        """Where several came together, they have a moment to come together again."""
        self._is_gathered.clear()
        if self._count() < self._last:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_gathered.wait(), GATHER_S)

    def _count(self) -> int:
        return sum(map(len, self._waiting.values()))

    async def _register(self, pipeline: str, batch: list[_Waiting]) -> None:
        submissions = [submission for submission, _ in batch]
        done = self._register_all(pipeline, submissions)
        (answer,) = await asyncio.gather(done, return_exceptions=True)
        if isinstance(answer, LimitReached) and len(batch) > 1:
            for one in batch:  # the limit of one client has nothing to do with the others
                await self._register(pipeline, [one])
            return
        if isinstance(answer, BaseException):
            for _, found in batch:
                _settle(found, answer)
            return
        self._on_registered()
        telling = asyncio.get_running_loop().create_task(self._tell(batch, answer))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell(self, batch: list[_Waiting], outcomes: "Sequence[str | Exception]") -> None:
        """Each client gets its job as it is now, or why it has none."""
        done = self._read([one for one in outcomes if isinstance(one, str)])
        (jobs,) = await asyncio.gather(done, return_exceptions=True)
        for (_, found), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Exception):
                _settle(found, outcome)
            elif isinstance(jobs, BaseException):
                _settle(found, jobs)
            else:
                _settle(found, jobs.get(outcome) or NotFound(f"job `{outcome}` is gone"))


def _settle(found: "asyncio.Future[Job]", outcome: "Job | BaseException") -> None:
    """The client gets that, unless it has gone; the job is there all the same."""
    if found.done():
        return
    if isinstance(outcome, BaseException):
        found.set_exception(outcome)
    else:
        found.set_result(outcome)
