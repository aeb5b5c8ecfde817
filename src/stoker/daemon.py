"""A site's services: which loops run, in what order they start and stop.

`stoker up` is one worker in the main thread, and beside it the janitor, which also takes over the
project's file when it changes, the visits to batch systems and other sites, and the intake and the web service, each a
process of its own. On a signal the web service ends at once, while the worker stops in order; then the
others follow. Another loop is another row of `_rows`.
"""

import logging
import os
import random
import time
import tomllib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stoker.errors import Refused, StokerError, Unavailable
from stoker.project.services.janitor import TICK_S, Janitor, tidy_once
from stoker.project.services.service import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stoker.batch.visit import Visited
    from stoker.model.settings import Settings
    from stoker.project import Project
    from stoker.project.services.pilot_reports import PilotReports
    from stoker.project.services.service import Service
    from stoker.project.verbs.applying import Applied
    from stoker.store.arrivals.counts import Registered
    from stoker.store.unit import Store
    from stoker.web.listening import Listening
    from stoker.web.service import Web
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
    web: "Listening | None" = None,
    on_web: "Callable[[str], None]" = lambda _url: None,
) -> "Summary":
    """Take in, work, tidy up, and serve the web, until a signal comes; return what the worker did.

    `web` is the socket to serve on, which is closed in the end; `on_web` gets its address once it
    answers.
    """
    from stoker.work.store_link import StoreLink
    from stoker.work.worker import Worker

    def hurry() -> None:
        worker.hurry()

    served = None
    if web is not None:
        from stoker.web.service import Web

        file = str(project.file)
        served = Web(file, web, on_registered=hurry, on_ready=on_web)

    def watch(event: "Event") -> None:
        if event.is_stopping and served is not None:
            served.leave()  # running attempts get their time; clients need not wait for them
        if on_event is not None:
            on_event(event)

    project.follow_file(on_apply=on_apply)
    worker = Worker(StoreLink(project.store), project.settings, slots=slots, on_event=watch)
    return Services(_rows(project, worker, on_apply, served), worker).run()


def _rows(
    project: "Project",
    worker: "Worker",
    on_apply: "Callable[[Applied], None] | None",
    web: "Web | None",
) -> "Sequence[Service]":
    """Return what runs beside the worker of a service, in the order in which it starts."""
    from stoker.project.jobs.removing import Keeper
    from stoker.project.services.intake import Intake
    from stoker.project.services.notifying import Notifier
    from stoker.project.services.pilots import Pilots
    from stoker.project.services.visits import Visits
    from stoker.project.value_tables.keeping import TableKeeper

    intake = Intake(str(project.file), on_taken=worker.hurry)

    pilots = Pilots(project.file, project.store)
    visits = Visits(project.file, project.store, on_news=worker.hurry)

    def follow() -> None:
        intake.restart()
        pilots.reload()
        visits.reload()
        if web is not None:
            web.reload()

    watch, keeper = FileWatch(project, on_apply, then=follow), Keeper(project)

    def also() -> None:
        watch.look()
        keeper.look()

    janitor = Janitor(
        project.store, scratch_root=_scratch_root(project.store, project.settings), also=also
    )
    tables = TableKeeper(project.store, file=str(project.file))
    notifier = Notifier(project.store, lambda: watch.settings)
    rows: list[Service] = [janitor, tables, notifier, intake, pilots, visits]
    return rows if web is None else [*rows, web]


def serve_once(
    project: "Project",
    *,
    on_apply: "Callable[[Applied], None] | None" = None,
    on_wait: "Callable[[int, float], None] | None" = None,
    on_visit: "Callable[[str, Visited], None]" = lambda _name, _done: None,
) -> "list[Registered]":
    """Take over the file, take in what the sources hold, and tidy up; for cron.

    Starts no task here, but visits the batch systems and the other sites; those that do not answer, the
    store knows of. Return what was taken in.
    """
    from stoker.project.afterwards import finish
    from stoker.project.jobs.removing import Keeper

    project.follow_file(on_apply=on_apply)
    taken = project.take_sources(on_wait=on_wait)
    tidy_once(project.store)
    for _ in Keeper(project).steps():
        pass
    for name, done in project.batch.visit().items():
        on_visit(name, done)
    for name in project.sites.intervals():
        with suppress(Unavailable, Refused):
            project.sites.visit(name)
    finish(project, project.store, ())
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
    pilot: "PilotReports | None" = None,
    on_event: "Callable[[Event], None] | None" = None,
) -> "Summary":
    """Be one more worker on the store, which has its pipelines already; return what it did.

    It is gone `time_limit_s` after `began_s`, by the monotonic clock, or after now; in a batch job by
    the job's end if that comes first. `pilot` is the one that brings it.
    """
    from stoker.store.database.copied import refuse_copy
    from stoker.work import scheduler
    from stoker.work.allocation import own_allocation, with_pilot
    from stoker.work.store_link import StoreLink
    from stoker.work.term import Term, first_to_end
    from stoker.work.worker import Worker

    refuse_copy(project.store, str(project.file.parent))
    began_s = time.monotonic() if began_s is None else began_s
    limit = None if time_limit_s is None else Term.of(time_limit_s, began_s=began_s)
    job = scheduler.ask(os.environ, began_s)
    given = own_allocation(os.environ)
    if pilot is not None:
        given = with_pilot(
            given,
            uid=pilot.pilot.uid,
            batch_id=pilot.pilot.batch_id or pilot.pilot.name,
            cpus=pilot.pilot.cpus,
            memory_bytes=pilot.pilot.memory_bytes,
        )
    settings = project.worker_settings
    worker = Worker(
        StoreLink(project.store),
        settings,
        slots=slots,
        drain=drain,
        job=replace(job, term=first_to_end(job.term, limit)),
        idle_timeout_s=idle_timeout_s,
        name=name,
        tags=tags,
        given=given,
        on_event=on_event,
    )
    is_job = given is not None
    if is_job:
        project.store.keep_few()
    janitor = Janitor(
        project.store,
        scratch_root=_scratch_root(project.store, settings),
        crowding=worker.crowding,
        tick_s=JOB_TICK_S * random.uniform(0.5, 1.5) if is_job else TICK_S,  # noqa: S311 - to part them
    )
    rows: list[Service] = [janitor]
    if pilot is not None:
        pilot.on_order = worker.stop
        rows.append(pilot)
    return Services(rows, worker).run()


def _scratch_root(store: "Store", settings: "Settings") -> str:
    from stoker.work import leftovers
    from stoker.work.store_link import StoreLink

    return leftovers.scratch_root(StoreLink(store), settings)


class FileWatch:
    """Takes over the project's file, and those that it includes, when they change; `then` follows."""

    def __init__(
        self,
        project: "Project",
        on_apply: "Callable[[Applied], None] | None" = None,
        *,
        then: "Callable[[], None]",
    ) -> None:
        self.settings = project.settings  # as the file has them now
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
            self.settings = fresh.settings
        self._then()

    def _stamps(self) -> dict[str, tuple[int, int]]:
        """Return size and time of the file and all that it includes."""
        from stoker.spec.project_file import files_matching

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
