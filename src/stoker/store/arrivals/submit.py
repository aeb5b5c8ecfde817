"""Jobs coming in over HTTP: many at once, each registered with what its client was promised.

One transaction has the items, their tasks, their jobs and the remembered requests: after a crash a
client that repeats its request gets the job that there is, or a new one, and never two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, tuple_
from sqlalchemy.exc import IntegrityError

from stoker.errors import Conflict, NotFound
from stoker.model.id_types import VersionId
from stoker.model.item import NewItem
from stoker.store import web_tables
from stoker.store.actor import Actor
from stoker.store.arrivals.register import Origin, insert_new
from stoker.store.arrivals.submissions import Client
from stoker.store.catalog import catalog
from stoker.store.journal import to_json
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

REMEMBERED_S = 86_400.0  # for which a request can be repeated
_TRIES = 4  # where another process takes the same request at the same time
_R, _JOB, _SUB = web_tables.remembered_request, web_tables.job, web_tables.subscriber


class OtherBody(Conflict):
    """The client used this `Idempotency-Key` for another request."""


class OtherVersion(Conflict):
    """The pipeline has changed since the request was checked; check it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One request that was checked against a version of its pipeline; None: against whichever is current.

    `client` is the one for whose limits it counts. `once` has digests of the client's `Idempotency-Key` and of the request. `subscriber` has
    addresses by the name of the event.
    """

    item: NewItem
    user: str
    client: Client | None = None
    version: VersionId | None = None
    once: tuple[bytes, bytes] | None = None
    subscriber: Mapping[str, str] | None = None


Outcome = str | OtherBody | OtherVersion


def submit(store: "Store", pipeline: str, submissions: Sequence[Submission]) -> list[Outcome]:
    """Each submission is a job, durable when this returns; return its key, or why it is none.

    A repeated request is the job that it was the first time. NotFound if there is no such pipeline.
    LimitReached, with nothing registered, where one of the clients may not submit so many.
    """
    for _ in range(_TRIES - 1):
        try:
            return _submit(store, pipeline, submissions)
        except IntegrityError:
            continue  # another process has just remembered one of these requests
    return _submit(store, pipeline, submissions)


@as_a_whole
def _submit(store: "Store", pipeline: str, submissions: Sequence[Submission]) -> list[Outcome]:
    with store.writing() as unit:
        known = catalog(unit)
        steps = known.of_pipeline(pipeline)
        if not steps:
            raise NotFound(f"the store has no pipeline `{pipeline}`; `stoker apply` adds it")
        pipeline_id = steps[0].pipeline_id
        before = _remembered(unit, submissions)
        outcomes: list[Outcome] = []
        fresh: dict[str, Submission] = {}
        for one in submissions:
            name, once = _name(one), one.once
            said = None if once is None else before.get((name, once[0]))
            if said is not None and once is not None:
                is_same = said[0] == once[1]
                outcomes.append(said[1] if is_same else OtherBody("another request had this key"))
            elif one.version not in (None, known.current[pipeline]):
                outcomes.append(OtherVersion(f"`{pipeline}` has just changed"))
            else:
                fresh[one.item.key] = one
                outcomes.append(one.item.key)
                if once is not None:
                    before[name, once[0]] = (once[1], one.item.key)
        by_client: dict[tuple[str, Client | None], list[NewItem]] = {}
        for one in fresh.values():
            by_client.setdefault((one.user, one.client), []).append(one.item)
        if fresh:
            _note(unit, pipeline_id, list(fresh.values()))
        for (user, client), items in by_client.items():
            came = Origin(Actor(user), client=client)
            insert_new(unit, pipeline_id, pipeline, steps, items, came)
        return outcomes


def _remembered(
    unit: Unit, submissions: Sequence[Submission]
) -> dict[tuple[str, bytes], tuple[bytes, str]]:
    """Return digest and job of each request that was made before; those too old are deleted."""
    asked = [(_name(one), one.once[0]) for one in submissions if one.once is not None]
    if not asked:
        return {}
    oldest_us = unit.now_us - int(REMEMBERED_S * 1_000_000)
    is_asked = tuple_(_R.c.client, _R.c.digest).in_(asked)
    unit.execute(delete(_R).where(is_asked, _R.c.at_us < oldest_us))
    rows = unit.execute(select(_R).where(is_asked))
    return {(row.client, bytes(row.digest)): (bytes(row.body), row.key) for row in rows}


def _name(one: Submission) -> str:
    """Return the name by which requests of its client are remembered."""
    return one.client.name if one.client is not None else f"user:{one.user}"


def _note(unit: Unit, pipeline_id: int, submissions: Sequence[Submission]) -> None:
    """Write down whose jobs these are, and what their clients were promised."""
    now_us = unit.now_us
    jobs: list[dict[str, Any]] = [
        {
            "key": one.item.key,
            "pipeline_id": pipeline_id,
            "by_user": one.user,
            "at_us": now_us,
            "progress": 0,
        }
        for one in submissions
    ]
    unit.execute(insert(_JOB), jobs)
    once = [
        {
            "client": _name(one),
            "digest": one.once[0],
            "body": one.once[1],
            "key": one.item.key,
            "at_us": now_us,
        }
        for one in submissions
        if one.once is not None
    ]
    if once:
        unit.execute(insert(_R), once)
    subscribers = [
        {
            "key": one.item.key,
            "urls": to_json(one.subscriber),
            "reported": 0,
            "tries": 0,
            "due_us": now_us,
        }
        for one in submissions
        if one.subscriber
    ]
    if subscribers:
        unit.execute(insert(_SUB), subscribers)
