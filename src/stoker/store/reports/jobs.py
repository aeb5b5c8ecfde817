"""Items as jobs, for the clients who submitted them over HTTP: state, times, progress and results.

A job's state follows from its tasks as they are now, so that it is right before the journal is folded.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select, text

from stoker.errors import NotFound
from stoker.model.states import ItemState, TaskState, item_state
from stoker.store import tables, web_tables
from stoker.store.catalog import catalog
from stoker.store.dialects.constructs import seldom_key
from stoker.store.journal import SELDOM
from stoker.store.reports.attempts import last_of_tasks
from stoker.store.rows import AttemptRow
from stoker.store.times import moment
from stoker.store.unit import Prepared, Unit, param, param_list

if TYPE_CHECKING:
    from stoker.store.unit import Store

_I, _T, _P, _S, _A, _J, _B = (
    tables.item, tables.task, tables.pipeline, tables.step, tables.attempt, tables.journal,
    web_tables.job,
)  # fmt: skip
_ITEM = (
    _I.c.id, _I.c.key, _I.c.state, _P.c.name.label("pipeline"), _I.c.params, _I.c.meta, _I.c.by_user,
    _I.c.registered_us, _I.c.reason, _I.c.path,
)  # fmt: skip
_NAMES = tuple(column.name for column in _ITEM)
_BY_KEYS = Prepared(
    select(*_ITEM)
    .join(_P, _P.c.id == _I.c.pipeline_id)
    .where(_I.c.pipeline_id == param("pipeline"), _I.c.key.in_(param_list("keys")))
)
_JOB = Prepared(select(_B).where(_B.c.key == param("key")))
_JOBS = Prepared(select(_B).where(_B.c.key.in_(param_list("keys"))))
_TASKS = Prepared(
    select(
        _T.c.id, _T.c.item_id, _T.c.state, _T.c.expected_ms, _T.c.reason,
        _S.c.name.label("step"), _A.c.claimed_us, _A.c.reason.label("ended"), _A.c.cancel_requested,
    )
    .select_from(
        _T.join(_S, _S.c.id == _T.c.step_id).outerjoin(_A, _A.c.id == _T.c.attempt)
    )
    .where(_T.c.item_id.in_(param_list("items")), ~_S.c.is_removed)
    .order_by(_T.c.item_id, _S.c.position)
)  # fmt: skip
_TIMES = Prepared(
    select(_T.c.item_id, func.min(_A.c.claimed_us), func.max(_A.c.ended_us))
    .select_from(_T.join(_A, _A.c.task_id == _T.c.id))
    .where(_T.c.item_id.in_(param_list("items")))
    .group_by(_T.c.item_id)
)
_CANCELLED = Prepared(
    select(func.max(_J.c.at_us)).where(
        seldom_key(_J.c.key) == param("key"), _J.c.pipeline == param("pipeline"),
        _J.c.event == "cancel", text(SELDOM),
    )
)  # fmt: skip
_SHARE_OF_LONG = 0.95  # of a running task that takes longer than expected


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOfJob:
    """One task of a job: its step, its state, why it is in it, and how much of it is done."""

    step: str
    state: TaskState
    reason: str | None
    expected_s: float
    share: float
    is_stopping: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An item with all that its client may know.

    `ended_at` is None until it is over; `meta` holds the request, as it was checked. While
    `is_stopping`, somebody has given it up and what runs of it is being ended. `number` is its place
    in lists, `reported` the most of its progress that was ever reported, in percent.
    """

    key: str
    pipeline: str
    state: ItemState
    params: Mapping[str, Any]
    meta: Mapping[str, Any]
    by: str
    registered_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    updated_at: datetime
    reason: str | None
    path: str | None  # of its file; None for a record
    tasks: tuple[TaskOfJob, ...]
    is_stopping: bool
    since_end_s: float
    number: int = 0
    reported: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing of it will run unless somebody asks for it again."""
        return self.state in (ItemState.DONE, ItemState.FAILED, ItemState.CANCELLED)

    @property
    def share(self) -> float:
        """How much of its expected time is done, from 0 to 1; 1 only for one that is done."""
        if self.state is ItemState.DONE:
            return 1.0
        whole = sum(task.expected_s for task in self.tasks)
        done = sum(task.expected_s * task.share for task in self.tasks)
        return min(done / whole, 0.99) if whole else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What is still known of a job that its client has removed, `age_s` ago."""

    key: str
    pipeline: str
    by: str
    registered_at: datetime
    age_s: float


class Submitted(NamedTuple):
    """A row of the table of jobs, with the columns in its order."""

    id: int
    key: str
    pipeline_id: int
    by_user: str
    at_us: int
    progress: int
    removed_us: int | None


def submitted(row: Any) -> Submitted:
    """Return a row of the table of jobs with names."""
    return Submitted(*row)


def job(store: "Store", key: str) -> Job:
    """Return the job of that key; NotFound if there is none, or its client has removed it."""
    with store.reading() as unit:
        rows = [submitted(row) for row in unit.run(_JOB, key=key).fetchall()]
        found = jobs_of(unit, [row for row in rows if row.removed_us is None])
    if not found:
        raise NotFound(f"there is no job `{key[:100]}`")
    return found[0]


def jobs_by_key(store: "Store", keys: Sequence[str]) -> dict[str, Job]:
    """Return those of these jobs that are there, by their keys."""
    if not keys:
        return {}
    with store.reading() as unit:
        rows = [submitted(row) for row in unit.run(_JOBS, keys=list(keys)).fetchall()]
        found = jobs_of(unit, [row for row in rows if row.removed_us is None])
    return {one.key: one for one in found}


def removed(store: "Store", key: str) -> Removed | None:
    """Return who had the job that its client has removed, and when; None where there is none."""
    with store.reading() as unit:
        row = unit.run(_JOB, key=key).fetchone()
        if row is None or (one := submitted(row)).removed_us is None:
            return None
        names = {id_: name for name, id_ in catalog(unit).pipeline_ids.items()}
        return Removed(
            key=one.key,
            pipeline=names.get(one.pipeline_id, ""),
            by=one.by_user,
            registered_at=moment(one.at_us),
            age_s=(unit.now_us - (one.removed_us or 0)) / 1e6,
        )


def ends_of(store: "Store", key: str, pipeline: str) -> list[AttemptRow]:
    """Return the attempts that carry the tasks of this job, or did so last."""
    with store.reading() as unit:
        pipeline_id = catalog(unit).pipeline_ids[pipeline]
        rows = unit.run(_BY_KEYS, pipeline=pipeline_id, keys=[key]).fetchall()
        return last_of_tasks(unit, [row[0] for row in rows])


def jobs_of(unit: Unit, rows: "Sequence[Submitted]") -> list[Job]:
    """Return these jobs in the same order; those whose items are gone are left out."""
    keys: dict[int, list[str]] = {}
    for row in rows:
        keys.setdefault(row.pipeline_id, []).append(row.key)
    items = {
        item[1]: dict(zip(_NAMES, item, strict=True))
        for pipeline_id, of_pipeline in keys.items()
        for item in unit.run(_BY_KEYS, pipeline=pipeline_id, keys=of_pipeline).fetchall()
    }
    there = [(row, items[row.key]) for row in rows if row.key in items]
    found = _jobs(unit, [item for _, item in there])
    return [
        replace(one, number=row.id, reported=row.progress)
        for one, (row, _) in zip(found, there, strict=True)
    ]


def _jobs(unit: Unit, rows: Sequence[Mapping[str, Any]]) -> list[Job]:
    """Return the jobs that these rows of items are, in the same order."""
    ids = [row["id"] for row in rows]
    if not ids:
        return []
    tasks: dict[int, list[Any]] = {}
    for found in unit.run(_TASKS, items=ids).fetchall():
        tasks.setdefault(found[1], []).append(found)
    times = {row[0]: (row[1], row[2]) for row in unit.run(_TIMES, items=ids).fetchall()}
    return [
        _job(unit, row, tasks.get(row["id"], []), *times.get(row["id"], (None, None)))
        for row in rows
    ]


def _job(
    unit: Unit,
    row: Mapping[str, Any],
    tasks: Sequence[Any],
    first_us: int | None,
    last_us: int | None,
) -> Job:
    made = tuple(_task(unit, task) for task in tasks)
    state = item_state(task.state for task in made) if made else ItemState(row["state"])
    is_over = state in (ItemState.DONE, ItemState.FAILED, ItemState.CANCELLED)
    if state is ItemState.CANCELLED:
        said = unit.run(_CANCELLED, key=row["key"], pipeline=row["pipeline"]).fetchone()[0]
        last_us = max(last_us or 0, said or 0) or row["registered_us"]
    updated_us = max(row["registered_us"], first_us or 0, last_us or 0)
    return Job(
        key=row["key"],
        pipeline=row["pipeline"],
        state=state,
        params=json.loads(row["params"]),
        meta=json.loads(row["meta"]),
        by=row["by_user"],
        registered_at=moment(row["registered_us"]),
        started_at=moment(first_us),
        ended_at=moment(last_us) if is_over else None,
        updated_at=moment(updated_us),
        reason=row["reason"],
        path=None if row["path"] is None else os.fsdecode(row["path"]),
        tasks=made,
        since_end_s=(unit.now_us - last_us) / 1e6 if is_over and last_us else 0.0,
        is_stopping=any(task.state is TaskState.RUNNING and task.is_stopping for task in made),
    )


def _task(unit: Unit, row: Any) -> TaskOfJob:
    _id, _item, number, expected_ms, reason, step, claimed_us, ended, is_stopping = row
    state = TaskState(number)
    expected_s = max(expected_ms or 0, 1) / 1000
    share = 1.0 if state.is_satisfied else 0.0
    if state is TaskState.RUNNING and claimed_us is not None and expected_ms:
        elapsed_s = max(unit.now_us - claimed_us, 0) / 1e6
        share = min(elapsed_s / expected_s, _SHARE_OF_LONG)
    if state is TaskState.FAILED:
        reason = ended or reason
    return TaskOfJob(
        step=step,
        state=state,
        reason=reason,
        expected_s=expected_s,
        share=share,
        is_stopping=bool(is_stopping),
    )
