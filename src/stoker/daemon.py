"""A site's services: which loops run, in what order they start and stop.

`stoker up` is one worker in the main thread, and beside it the janitor, which also takes over the
project's file when it changes, and the intake, a process of its own. On a signal the worker stops
first, in order, then the intake and the janitor. Another loop is another row of `_rows`.
"""

import logging
import os
import random
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stoker.errors import StokerError, Unavailable
from stoker.project.intake import Intake
from stoker.project.janitor import TICK_S, Janitor, tidy_once
from stoker.project.services import Services
from stoker.project.sources import write_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stoker.project import Project
    from stoker.project.project import Applied
    from stoker.project.services import Service
    from stoker.store.arrivals.counts import Registered
    from stoker.work.progress import Event, Summary
    from stoker.work.worker import Worker

JOB_TICK_S = 60.0  # between looks of the janitors of batch jobs, of which there are many

_log = logging.getLogger(__name__)


def serve(
    project: "Project",
    *,
    slots: int | None = None,
    on_event: "Callable[[Event], None] | None" = None,
    on_apply: "Callable[[Applied], None] | None" = None,
) -> "Summary":
    """Take in, work and tidy up until a signal comes; return what the worker did."""
    from stoker.work.store_link import StoreLink
    from stoker.work.worker import Worker

    project.follow_file(on_apply=on_apply)
    worker = Worker(StoreLink(project.store), project.settings, slots=slots, on_event=on_event)
    return Services(_rows(project, worker, on_apply), worker).run()


def _rows(
    project: "Project", worker: "Worker", on_apply: "Callable[[Applied], None] | None"
) -> "Sequence[Service]":
    """Return what runs beside the worker of a service, in the order in which it starts."""
    intake = Intake(str(project.file), on_taken=worker.hurry)
    watch = FileWatch(project, on_apply, then=intake.restart)
    janitor = Janitor(project.store, scratch_root=_scratch_root(project), also=watch.look)
    return [janitor, intake]


def serve_once(
    project: "Project",
    *,
    on_apply: "Callable[[Applied], None] | None" = None,
    on_wait: "Callable[[int, float], None] | None" = None,
) -> "list[Registered]":
    """Take over the file, take in what the sources hold, and tidy up; for cron.

    Starts no task. Return what was taken in.
    """
    project.follow_file(on_apply=on_apply)
    taken = project.take_sources(on_wait=on_wait)
    tidy_once(project.store)
    for pipeline in project.pipelines.values():
        write_progress(project.store, pipeline, project.actor())
    return taken


def work(  # noqa: PLR0913 - each is what somebody may want of a worker
    project: "Project",
    *,
    slots: int | None = None,
    drain: bool = False,
    time_limit_s: float | None = None,
    idle_timeout_s: float | None = None,
    began_s: float | None = None,
    name: str | None = None,
    tags: "Sequence[str] | None" = None,
    on_event: "Callable[[Event], None] | None" = None,
) -> "Summary":
    """Be one more worker on the store, which has its pipelines already; return what it did.

    It is gone `time_limit_s` after `began_s`, by the monotonic clock, or after now; in a batch job by
    the job's end if that comes first.
    """
    from stoker.store.database.copied import refuse_copy
    from stoker.work import scheduler
    from stoker.work.allocation import own_allocation
    from stoker.work.store_link import StoreLink
    from stoker.work.term import Term, first_to_end
    from stoker.work.worker import Worker

    refuse_copy(project.store, str(project.file.parent))
    began_s = time.monotonic() if began_s is None else began_s
    limit = None if time_limit_s is None else Term.of(time_limit_s, began_s=began_s)
    job = scheduler.ask(os.environ, began_s)
    worker = Worker(
        StoreLink(project.store),
        project.settings,
        slots=slots,
        drain=drain,
        job=replace(job, term=first_to_end(job.term, limit)),
        idle_timeout_s=idle_timeout_s,
        name=name,
        tags=tags,
        on_event=on_event,
    )
    is_job = own_allocation(os.environ) is not None
    if is_job:
        project.store.keep_few()
    janitor = Janitor(
        project.store,
        scratch_root=_scratch_root(project),
        tick_s=JOB_TICK_S * random.uniform(0.5, 1.5) if is_job else TICK_S,  # noqa: S311 - to part them
    )
    return Services([janitor], worker).run()


def _scratch_root(project: "Project") -> str:
    from stoker.work import leftovers
    from stoker.work.store_link import StoreLink

    return leftovers.scratch_root(StoreLink(project.store), project.settings)


class FileWatch:
    """Takes over the project's file, and those that it includes, when they change; `then` follows."""

    def __init__(
        self,
        project: "Project",
        on_apply: "Callable[[Applied], None] | None" = None,
        *,
        then: "Callable[[], None]",
    ) -> None:
        self._project = project
        self._on_apply = on_apply
        self._then = then
        self._seen = self._stamps()

    def look(self) -> None:
        """Take the file over if it has changed; one with problems is left until it is right.

        Unavailable if the store does not answer: then the next look takes it over.
        """
        stamps = self._stamps()
        if stamps == self._seen:
            return
        before, self._seen = self._seen, stamps
        try:
            self._take_over()
        except Unavailable:
            self._seen = before  # the file is right, as far as anybody knows: the next look tries
            raise
        except StokerError as error:
            _log.warning(
                "the changed file is not taken over; `stoker check` says why",
                extra={"event": "file_refused", "error": str(error)},
            )

    def _take_over(self) -> None:
        from stoker.project import open_project

        with open_project(self._project.file) as fresh:
            fresh.follow_file(on_apply=self._on_apply)
        self._then()

    def _stamps(self) -> dict[str, tuple[int, int]]:
        """Return size and time of the file and all that it includes."""
        from stoker.spec.load import files_matching

        file = self._project.file
        names = [str(file)]
        try:
            patterns = tomllib.loads(file.read_text(encoding="utf-8")).get("include", [])
        except (OSError, ValueError):
            patterns = []
        for pattern in patterns if isinstance(patterns, list) else []:
            names += files_matching(str(pattern), file.parent)
        stamps = {}
        for name in names:
            try:
                found = Path(file.parent, name).stat()
            except OSError:
                continue
            stamps[name] = (found.st_size, found.st_mtime_ns)
        return stamps
