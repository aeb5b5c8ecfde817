"""Items as jobs of clients: submitted by value over HTTP, watched, given up, removed."""

import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stoker.errors import NotFound, WrongState
from stoker.model.item import NewItem
from stoker.model.saying import mark_of
from stoker.model.selection import Selection
from stoker.model.states import ItemState

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.project.opened import Opened
    from stoker.store.arrivals.submissions import Client
    from stoker.store.arrivals.submit import Outcome, Submission
    from stoker.store.reports.attempts import StoredStream
    from stoker.store.reports.job_list import JobFilter, JobPage, WordOf
    from stoker.store.reports.jobs import Job, Removed
    from stoker.store.reports.outlook import Outlook, Usual
    from stoker.store.rows import AttemptRow

MOST_JOBS = 2_000  # that are registered at once, in one transaction
AGAIN_S = 60.0  # in which a client may repeat that it gives a job up

_OVER = (ItemState.DONE, ItemState.FAILED, ItemState.CANCELLED, ItemState.QUARANTINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to register, of a request that was checked. `path` is of its item; None for a record."""

    key: str
    params: Mapping[str, Any]
    path: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    priority: int | None = None  # None: that of its pipeline


class Jobs:
    """The jobs of a project, for the user for whom it acts."""

    def __init__(self, project: "Opened") -> None:
        self._project = project

    def submit(self, pipeline: str, submissions: "Sequence[Submission]") -> "list[Outcome]":
        """Each submission is a job, durable when this returns; return its key, or why it is none.

        LimitReached, with none registered, where one of the clients may not submit so many.
        """
        from stoker.store.arrivals.submit import submit

        return submit(self._project.store, pipeline, submissions)

    def by_key(self, keys: "Sequence[str]") -> "dict[str, Job]":
        """Return those of these jobs that are there, by their keys."""
        from stoker.store.reports.jobs import jobs_by_key

        return jobs_by_key(self._project.store, keys)

    def submit_all(
        self, pipeline: "Pipeline", jobs: "Sequence[NewJob]", *, client: "Client | None" = None
    ) -> None:
        """All of these are registered, durable when this returns, or none; at most `MOST_JOBS`."""
        from stoker.store.arrivals.submit import Submission

        user = self._project.actor().user
        submissions = [
            Submission(item=item_of(job, pipeline), user=user, client=client) for job in jobs
        ]
        self.submit(pipeline.name, submissions)

    def get(self, key: str) -> "Job":
        """Return the job of that key; NotFound if there is none."""
        from stoker.store.reports.jobs import job

        return job(self._project.store, key)

    def outlook(self, job: "Job") -> "Outlook":
        """Return its place in the queue, and when it may be over."""
        from stoker.store.reports.outlook import outlook

        return outlook(self._project.store, job.pipeline, job.key)

    def usual(self) -> "Mapping[str, Usual]":
        """Return how long the jobs of each pipeline take, and how many wait, by the pipeline's name."""
        from stoker.store.reports.outlook import usual

        return usual(self._project.store)

    def report(self, percents: Mapping[str, int]) -> Mapping[str, int]:
        """Record this progress, in percent, as shown to clients; return the most shown so far.

        Unavailable if others hold the store just now.
        """
        from stoker.store.orders.reported import report

        with self._project.store.without_waiting():
            return report(self._project.store, percents)

    def page(
        self,
        wanted: "JobFilter",
        *,
        word_of: "WordOf",
        limit: int,
        older_than: int | None = None,
        newer_than: int | None = None,
    ) -> "JobPage":
        """Return at most `limit` jobs, newest first, below or above a place in the list."""
        from stoker.store.reports.job_list import page_of_jobs

        return page_of_jobs(
            self._project.store,
            wanted,
            word_of=word_of,
            limit=limit,
            older_than=older_than,
            newer_than=newer_than,
        )

    def ends(self, job: "Job") -> "list[AttemptRow]":
        """Return the last attempt of each of its tasks, with outputs and values."""
        from stoker.store.reports.jobs import ends_of

        return ends_of(self._project.store, job.key, job.pipeline)

    def streams(self, end: "AttemptRow", *, most_bytes: int) -> dict[str, str | None]:
        """Return the end of what an attempt wrote to `stdout` and `stderr`; None where it is gone."""
        from stoker.store.reports.attempts import streams_of

        kept = streams_of(self._project.store, end.id)
        return {name: _last_of(stream, most_bytes) for name, stream in kept.items()}

    def removed(self, key: str) -> "Removed | None":
        """Return what is known of a job that was removed within the last minute; None otherwise."""
        from stoker.store.reports.jobs import removed

        found = removed(self._project.store, key)
        return found if found is not None and found.age_s < AGAIN_S else None

    def dismiss(self, job: "Job") -> bool:
        """Give the job up, or remove one that is over; return whether it was removed.

        Open tasks are cancelled, running ones as soon as they are stopped, in seconds. One that was
        given up within the last minute stays as it is: a client repeats a request that was not
        answered.
        """
        if job.state not in _OVER:
            self._cancel(job)
            return False
        if job.state is ItemState.CANCELLED and job.since_end_s < AGAIN_S:
            return False
        self.remove(job)
        return True

    def remove(self, job: "Job") -> None:
        """Nothing is left of a job that is over: no item, and no result that is as it was published.

        Cut short, `finish_removals` does the rest.
        """
        from stoker.store.retention import jobs

        jobs.mark_removed(self._project.store, job.key)
        self._remove(job.pipeline, job.key)

    def finish_removals(self) -> None:
        """Removals that were cut short are done, and what is too old to be repeated is forgotten."""
        from stoker.store.retention import jobs

        store = self._project.store
        for pipeline, key in jobs.marked(store):
            with suppress(NotFound, WrongState):  # another process was quicker
                self._remove(pipeline, key)
        jobs.tidy(store)

    def _remove(self, pipeline: str, key: str) -> None:
        from stoker.project.jobs.removing import remove_job

        remove_job(self._project, pipeline, key, reason="removed over HTTP")

    def _cancel(self, job: "Job") -> None:
        from stoker.store.orders import verbs

        chosen = Selection(keys=(job.key,), pipeline=job.pipeline)
        verbs.cancel(self._project.store, chosen, self._project.actor("dismissed over HTTP"))


def _last_of(stream: "StoredStream", most_bytes: int) -> str | None:
    """Return the end of a stream as text, with what is not UTF-8 replaced."""
    content = stream.text
    if content is None and stream.path is not None:
        try:
            with open(stream.path, "rb") as file:
                size_bytes = file.seek(0, 2)
                file.seek(max(size_bytes - most_bytes, 0))
                content = file.read(most_bytes)
        except OSError:
            return None
    return None if content is None else content[-most_bytes:].decode("utf-8", "replace")


def item_of(job: NewJob, pipeline: "Pipeline") -> NewItem:
    """Return the item that a job is. OSError if its file is not there."""
    mark = mark_of(job.params)
    item = NewItem(
        key=job.key,
        params=job.params,
        meta=job.meta,
        fingerprint=mark,
        mark=mark,
        priority=pipeline.priority if job.priority is None else job.priority,
    )
    if job.path is None:
        return item
    found = os.stat(job.path)
    return replace(
        item,
        path=job.path,
        size_bytes=found.st_size,
        mtime_us=found.st_mtime_ns // 1000,
        fingerprint=f"{found.st_size}:{found.st_mtime_ns}{mark}",
    )


def new_job_id() -> str:
    """Return 128 random bits as text: knowing it is what entitles a stranger to see the job."""
    return secrets.token_hex(16)


def check_is_job_id(text: str) -> str:
    """Return the text; NotFound unless it has the form of a job's id."""
    if len(text) == 32 and all(letter in "0123456789abcdef" for letter in text):
        return text
    raise NotFound("a job's id has 32 hexadecimal digits")
