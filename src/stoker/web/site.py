"""The project as the web process sees it: its file, its store, and threads for its verbs."""

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

from stoker.errors import StokerError
from stoker.project import Project
from stoker.web.foresight import Foresight
from stoker.web.links import Links
from stoker.web.once import Once
from stoker.web.pulse import Pulse
from stoker.web.registrar import Registrar

if TYPE_CHECKING:
    from stoker.model.settings import Settings
    from stoker.store.reports.jobs import Job
    from stoker.store.reports.offered import Offered

KEPT_JOBS, KEPT_S = 10_000, 1.0  # jobs in memory, for those who poll
PIPELINES_S = 0.2  # for which what is offered is known
THREADS = 12  # verbs at a time: fewer than a process may have connections to its store

_P = ParamSpec("_P")
_R = TypeVar("_R")
_log = logging.getLogger(__name__)


class Site:
    """One project that is served. `address` is where it listens, as a URL.

    `stopping` is set when the service ends: whatever waits, or streams, ends then too. The settings
    are those of the file when it was last right; pipelines are the store's, as for workers.
    """

    def __init__(
        self, file: str, address: str, *, on_registered: Callable[[], None] = lambda: None
    ) -> None:
        self.address = address
        self.on_registered = on_registered
        self.stopping = asyncio.Event()
        self.file = Path(file)
        self._threads = CapacityLimiter(THREADS)
        self.project = Project(self.file)
        self.settings: Settings = self.project.settings
        self.links = self._links()
        self.pulse = Pulse(lambda: self.call(self.newest_event), self.stopping)
        self.foresight = Foresight(self.project.jobs, self.call)
        self._jobs: dict[str, tuple[int, float, Job]] = {}
        self._looks: Once[str, Job] = Once()
        self._pipelines: tuple[float, Mapping[str, Offered]] | None = None
        self.registrar = Registrar(
            lambda pipeline, some: self.call(self.project.jobs.submit, pipeline, some),
            lambda keys: self.call(self.project.jobs.by_key, keys),
            self.on_registered,
        )

    def reload(self) -> None:
        """The settings are those of the file now; one with problems changes nothing."""
        try:
            self.settings = Project(self.file).settings
        except StokerError as error:
            _log.warning("the web service keeps its settings", extra={"error": str(error)})
            return
        self.links = self._links()

    def close(self) -> None:
        """The store is closed."""
        self.project.close()

    async def call(self, verb: Callable[_P, _R], *args: _P.args, **more: _P.kwargs) -> _R:
        """Return what the verb returns, which a thread calls; the loop goes on meanwhile."""
        bound = functools.partial(verb, *args, **more)
        return await to_thread.run_sync(bound, limiter=self._threads)

    def offered(self) -> "Mapping[str, Offered]":
        """Return the pipelines of the store by name, each in its current version. Call in a thread."""
        from stoker.store.reports.offered import offered

        return offered(self.project.store)

    async def pipelines(self) -> "Mapping[str, Offered]":
        """The same, as it was a moment ago: a submission is checked against the version all the same."""
        now_s = self.now_s()
        if self._pipelines is None or now_s - self._pipelines[0] > PIPELINES_S:
            self._pipelines = now_s, await self.call(self.offered)
        return self._pipelines[1]

    def forget_pipelines(self) -> None:
        """One of them is another by now."""
        self._pipelines = None

    async def job(self, key: str) -> "Job":
        """Return the job of that key; NotFound if there is none.

        Many who poll cost the store one look while nothing happens: what was read is kept for a
        second, or until there is a newer event.
        """
        number, now_s = await self.pulse.current(), self.now_s()
        known = self._jobs.get(key)
        if known is not None and known[0] == number and now_s - known[1] < KEPT_S:
            return known[2]
        return await self._looks.get(key, lambda: self._read_job(key, number))

    async def _read_job(self, key: str, number: int) -> "Job":
        now_s = self.now_s()
        (found,) = await self.foresight.as_reported([await self.call(self.project.jobs.get, key)])
        self._jobs.pop(key, None)
        self._jobs[key] = (number, now_s, found)
        if len(self._jobs) > KEPT_JOBS:
            del self._jobs[next(iter(self._jobs))]
        return found

    def forget_job(self, key: str) -> None:
        """The job was changed here: the next caller reads it again."""
        self._jobs.pop(key, None)
        self._looks.forget(key)
        self.pulse.expire()

    def newest_event(self) -> int:
        """Return a number that grows with the journal. Call in a thread."""
        from stoker.store.journal import newest_id

        return newest_id(self.project.store)

    def now_s(self) -> float:
        """Return the time of a clock that is never set."""
        return asyncio.get_running_loop().time()

    def _links(self) -> Links:
        return Links(self.settings.web.url or self.address)
