"""A job as the standard's `statusInfo`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from stoker.model.encoding import rfc3339
from stoker.model.states import ItemState, TaskState
from stoker.store.reports.jobs import Job, Removed
from stoker.store.reports.outlook import Outlook
from stoker.web.foresight import NOTHING, progress_of
from stoker.web.links import JSON, OGC, Links, link

WORDS = {
    ItemState.QUARANTINED: "accepted",
    ItemState.HELD: "accepted",
    ItemState.WAITING: "accepted",
    ItemState.RUNNING: "running",
    ItemState.DONE: "successful",
    ItemState.FAILED: "failed",
    ItemState.CANCELLED: "dismissed",
}

_MOST = 10_000  # statuses that are remembered


@dataclass(frozen=True, slots=True)
class _Said:
    job: Job
    outlook: Outlook
    links: Links
    body: bytes


class Statuses:
    """The bodies of statuses as they were last sent: many clients poll, and there is seldom news."""

    def __init__(self) -> None:
        self._said: dict[str, _Said] = {}

    def body(self, job: Job, outlook: Outlook, links: Links, make: Callable[[], bytes]) -> bytes:
        """Return what `make` returns; what it returned before if all of this is as it was then."""
        said = self._said.get(job.key)
        # An outlook counts from when it was made: an equal one that is younger says another end.
        if said is not None and said.outlook is outlook and said.links is links and said.job == job:
            return said.body
        self._said.pop(job.key, None)
        body = make()
        self._said[job.key] = _Said(job, outlook, links, body)
        if len(self._said) > _MOST:
            del self._said[next(iter(self._said))]
        return body


_BESIDE = {
    "inputs": "Inputs",
    "logs": "What the steps wrote",
    "statistics": "Times and resources",
    "prov": "Provenance",
}


def status_of(job: Job, links: Links, outlook: Outlook = NOTHING) -> dict[str, Any]:
    """Return the status of a job, with links to what else there is of it, and what to expect of it."""
    word = status_word(job)
    address = links.to("jobs", job.key)
    made: dict[str, Any] = {
        "jobID": job.key,
        "id": job.key,
        "processID": job.pipeline,
        "type": "process",
        "status": word,
        "message": message_of(job),
        "progress": progress_of(job),
        "created": rfc3339(job.registered_at),
        "updated": rfc3339(job.updated_at),
    }
    if job.started_at is not None:
        made["started"] = rfc3339(job.started_at)
    if job.ended_at is not None:
        made["finished"] = rfc3339(job.ended_at)
    if outlook.place is not None:
        made["queuePosition"] = outlook.place
    if outlook.ends_in_s is not None:
        ends_at = datetime.now(UTC) + timedelta(seconds=outlook.ends_in_s)
        made["estimatedCompletion"] = rfc3339(ends_at.replace(microsecond=0))
    made["links"] = [
        link("self", address, type_=JSON, title="The state of this job"),
        link("monitor", address, type_=JSON, title="The state of this job"),
        link("status", address, type_=JSON, title="The state of this job"),
        link("up", links.to("jobs"), type_=JSON, title="All jobs"),
        *(
            link("related", links.to("jobs", job.key, name), type_=JSON, title=title)
            for name, title in _BESIDE.items()
        ),
    ]
    if word in ("successful", "failed"):
        results = links.to("jobs", job.key, "results")
        made["links"] += [
            link(f"{OGC}/results", results, type_=JSON, title="Results"),
            link(f"{OGC}/exceptions", results, type_=JSON, title="The reason why it failed"),
        ][slice(0, 1) if word == "successful" else slice(1, 2)]
    return made


def status_of_removed(removed: Removed, links: Links) -> dict[str, Any]:
    """Return the status of a job that its client has just removed."""
    address = links.to("jobs", removed.key)
    return {
        "jobID": removed.key,
        "id": removed.key,
        "processID": removed.pipeline,
        "type": "process",
        "status": "dismissed",
        "message": "dismissed",
        "created": rfc3339(removed.registered_at),
        "links": [link("self", address, type_=JSON, title="The state of this job")],
    }


def status_word(job: Job) -> str:
    """Return the standard's word for the state.

    A job that has begun does not read `accepted` between two of its steps, and one that was given up
    is dismissed, though what runs of it may take a moment to end.
    """
    if job.is_stopping:
        return "dismissed"
    has_begun = job.started_at is not None and job.state is ItemState.WAITING
    return "running" if has_begun else WORDS[job.state]


def message_of(job: Job) -> str:
    """Return one sentence for people about the state."""
    said = _reason(job)
    if job.is_stopping:
        return "dismissed; its processes are being ended"
    words = {
        ItemState.QUARANTINED: f"not accepted for processing yet: {job.reason}",
        ItemState.HELD: said or "held",
        ItemState.FAILED: f"failed: {said}" if said else "failed",
        ItemState.CANCELLED: "dismissed",
        ItemState.DONE: "all steps are done",
        ItemState.WAITING: "waiting for its turn",
        ItemState.RUNNING: "running",
    }[job.state]
    if job.state not in (ItemState.WAITING, ItemState.RUNNING) or len(job.tasks) == 1:
        return words
    done = sum(task.state.is_satisfied for task in job.tasks)
    return f"{words}; {done} of {len(job.tasks)} steps are done"


def _reason(job: Job) -> str | None:
    """Return the reason of the first task that determines the state."""
    wanted = {ItemState.HELD: TaskState.HELD, ItemState.FAILED: TaskState.FAILED}.get(job.state)
    for task in job.tasks:
        if task.state is wanted and task.reason:
            return task.reason
    return None
