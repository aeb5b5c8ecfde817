"""The forecast that clients get of their jobs: progress that never falls, place and end.

Many ask at the same time and again. A forecast is kept for a moment, and the progress that was shown is
recorded for many at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stoker.errors import StokerError
from stoker.model.states import ItemState
from stoker.store.reports.outlook import Outlook, Usual
from stoker.web.once import Once

if TYPE_CHECKING:
    from stoker.project.jobs.verbs import Jobs
    from stoker.store.reports.jobs import Job

USUAL_S, OUTLOOK_S = 5.0, 2.0  # for which a forecast is given again
KEPT = 10_000  # jobs whose outlook is remembered
NOTHING = Outlook()
UNKNOWN = Usual(typical_s=None, most_s=None, waiting=0)


def progress_of(job: "Job") -> int:
    """Return the percentage that is done: never less than was reported before, 100 only at the end."""
    if job.state is ItemState.DONE:
        return 100
    return max(min(int(job.share * 100), 99), job.reported)


class Foresight:
    """What is to be expected of the `jobs` of one site; `call` runs their verbs in threads."""

    def __init__(self, jobs: "Jobs", call: Callable[..., Awaitable[Any]]) -> None:
        self._jobs = jobs
        self._call = call
        self._usual: Mapping[str, Usual] = {}
        self._usual_s: float | None = None
        self._outlooks: dict[str, tuple[float, Outlook]] = {}
        self._looks: Once[str, Outlook] = Once()
        self._waiting: list[tuple[Mapping[str, int], asyncio.Future[Mapping[str, int]]]] = []
        self._task: asyncio.Task[None] | None = None

    async def usual(self, pipeline: str) -> Usual:
        """Return what is usual for jobs of the pipeline."""
        now_s = asyncio.get_running_loop().time()
        if self._usual_s is None or now_s - self._usual_s > USUAL_S:
            self._usual_s = now_s  # others who ask meanwhile get what was known before
            self._usual = await self._call(self._jobs.usual)
        return self._usual.get(pipeline, UNKNOWN)

    async def outlook(self, job: "Job") -> Outlook:
        """Return the place of a job in the queue, and when it may be over."""
        if job.is_over or job.is_stopping:
            return NOTHING
        now_s = asyncio.get_running_loop().time()
        known = self._outlooks.get(job.key)
        if known is not None and now_s - known[0] < OUTLOOK_S:
            return known[1]
        return await self._looks.get(job.key, lambda: self._look(job, now_s))

    async def _look(self, job: "Job", now_s: float) -> Outlook:
        found: Outlook = await self._call(self._jobs.outlook, job)
        self._outlooks.pop(job.key, None)
        self._outlooks[job.key] = now_s, found
        if len(self._outlooks) > KEPT:
            del self._outlooks[next(iter(self._outlooks))]
        return found

    async def as_reported(self, jobs: "Sequence[Job]") -> "list[Job]":
        """Return the jobs as their clients may see them: their progress is recorded as reported."""
        news = {job.key: progress_of(job) for job in jobs if job.state is not ItemState.DONE}
        news = {job.key: news[job.key] for job in jobs if news.get(job.key, 0) > job.reported}
        if not news:
            return list(jobs)
        try:
            most = await self._tell(news)
        except StokerError:
            most = news  # they may look, though nothing can be recorded just now
        return [
            replace(job, reported=most.get(job.key, news[job.key])) if job.key in news else job
            for job in jobs
        ]

    async def _tell(self, news: Mapping[str, int]) -> Mapping[str, int]:
        """Record these with whatever else has come, one transaction at a time."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Mapping[str, int]] = loop.create_future()
        self._waiting.append((news, found))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._work())
        return await found

    async def _work(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            batch: dict[str, int] = {}
            for news, _ in waiting:
                batch |= {key: max(percent, batch.get(key, 0)) for key, percent in news.items()}
            done = self._call(self._jobs.report, batch)
            answers: Sequence[Any] = await asyncio.gather(done, return_exceptions=True)
            answer = answers[0]
            for _, found in waiting:
                if found.done():
                    continue  # its client has gone
                if isinstance(answer, BaseException):
                    found.set_exception(answer)
                else:
                    found.set_result(answer)
