"""Error folders that a janitor has to look after: those that nobody has written, those to be removed.

Each host looks after its own, as the folder may be on a disk that others do not see. For a host without
a living worker any other does it, as far as it sees the path.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, delete, or_, select, update

from stoker.failpoints import hit
from stoker.model.failure import Failure, remedy
from stoker.model.id_types import AttemptId, ItemId, TaskId, VersionId
from stoker.model.lease_kind import LeaseKind
from stoker.model.outpost import is_outpost, ran_on
from stoker.model.pipeline import Pipeline
from stoker.model.states import AttemptState, ItemState, TaskState, WorkerState
from stoker.model.task import Claimed, Content
from stoker.store import tables
from stoker.store.catalog import catalog, pipeline_of
from stoker.store.holdings import publications
from stoker.store.ids import text_of
from stoker.store.locks import lock_tasks_of
from stoker.store.times import moment
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_F = tables.error_folder
_T, _I, _A, _W, _S, _P = (
    tables.task, tables.item, tables.attempt, tables.worker, tables.step, tables.pipeline,
)  # fmt: skip
_FAILURES = tuple(
    state.value
    for state in (
        *(AttemptState.FAILED, AttemptState.TIMED_OUT, AttemptState.OUT_OF_MEMORY),
        AttemptState.RUNNING,  # about to fail
    )
)
_SATISFIED = tuple(state.value for state in TaskState if state.is_satisfied)
_AGAIN_US, _AGAIN_MOST_US = 5_000_000, 3_600_000_000
Remove = Callable[[], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A failure whose error folder is to be written: what is known of it.

    `is_elsewhere`: it ran at an outpost. `written_at` is where its worker may have written it, before it died.
    """

    attempt: AttemptId
    task_id: TaskId
    pipeline: Pipeline
    claimed: Claimed
    failure: Failure
    stdout: bytes
    stderr: bytes
    is_elsewhere: bool
    written_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An error folder that is not needed any more: where it is, and what it may hold of ours.

    `is_here`: a worker of this host wrote it.
    """

    path: str
    is_here: bool
    contents: tuple[Content, ...]
    pipeline: Pipeline


def due(store: "Store", *, most: int = 50) -> list[Due]:
    """Return failures whose error folder this host is to write; what is no failure any more is not due."""
    with store.reading() as unit:
        is_due = and_(_F.c.made_us.is_(None), _F.c.not_before_us <= unit.now_us)
        query = _query().where(is_due, _is_for(store.host)).order_by(_F.c.attempt).limit(most)
        rows = unit.execute(query).fetchall()
        current = catalog(unit).current
        found = [
            _due(row, pipeline_of(unit, current[row.pipeline]))
            for row in rows
            if row.task_state == TaskState.FAILED and row.carried == row.attempt
        ]
    over = {bytes(row.attempt) for row in rows} - {one.attempt for one in found}
    lacking = {one.attempt for one in found if one.pipeline.error_folder is None}
    if over or lacking:
        _forget(store, over | lacking)
    return [one for one in found if one.attempt not in lacking]


def _query() -> Any:
    """The rows with all that a folder says of a failure."""
    joined = (
        _F.join(_A, _A.c.id == _F.c.attempt)
        .join(_T, _T.c.id == _F.c.task_id)
        .join(_I, _I.c.id == _F.c.item_id)
        .join(_S, _S.c.id == _T.c.step_id)
        .join(_P, _P.c.id == _F.c.pipeline_id)
    )
    return select(
        _F.c.attempt, _F.c.task_id, _F.c.item_id, _F.c.host, _F.c.path.label("written_at"),
        _P.c.name.label("pipeline"), _S.c.name.label("step"), _I.c.key, _I.c.path, _I.c.params,
        _I.c.meta, _T.c.state.label("task_state"), _T.c.attempt.label("carried"), _A.c.number,
        _A.c.state, _A.c.exit_code, _A.c.signal, _A.c.reason, _A.c.cause, _A.c.command,
        _A.c.claimed_us, _A.c.started_us, _A.c.ended_us, _A.c.stdout_text, _A.c.stderr_text, _A.c.node,
    ).select_from(joined)  # fmt: skip


def _due(row: Any, pipeline: Pipeline) -> Due:
    step = next((step for step in pipeline.steps if step.name == row.step), None)
    say, do = remedy(step, row.cause)
    path = os.fsdecode(bytes(row.path)) if row.path is not None else None
    params = json.loads(row.params)
    claimed = Claimed(
        attempt=AttemptId(bytes(row.attempt)),
        task_id=TaskId(row.task_id),
        item_id=ItemId(row.item_id),
        version_id=VersionId(0),
        pipeline=row.pipeline,
        key=row.key,
        step=row.step,
        number=row.number,
        generation=0,
        tries=0,
        path=path,
        params=params,
        meta=json.loads(row.meta),
        cpus=1,
        memory_bytes=None,
    )
    failure = Failure(
        pipeline=row.pipeline,
        item=row.key,
        step=row.step,
        attempt=text_of(row.attempt),
        number=row.number,
        state=AttemptState(row.state).word,
        reason=row.reason,
        cause=row.cause,
        say=say,
        do=do,
        exit_code=row.exit_code,
        signal=row.signal,
        command=row.command,
        path=path,
        params=params,
        host=ran_on(row.host or None, row.node),
        claimed_at=moment(row.claimed_us),
        started_at=moment(row.started_us),
        ended_at=moment(row.ended_us),
    )
    return Due(
        attempt=claimed.attempt,
        task_id=claimed.task_id,
        pipeline=pipeline,
        claimed=claimed,
        failure=failure,
        stdout=row.stdout_text or b"",
        stderr=row.stderr_text or b"",
        is_elsewhere=is_outpost(row.host or ""),
        written_at=os.fsdecode(bytes(row.written_at)) if row.written_at is not None else None,
    )


def _is_for(host: str) -> ColumnElement[bool]:
    """Whether the folder is this host's to look after."""
    alive = select(_W.c.id).where(
        _W.c.host == _F.c.host,
        _W.c.state == WorkerState.ALIVE.value,
        _W.c.lease_kind
        != LeaseKind.DETACHED.value,  # stands for an outpost, where nobody writes it
    )
    return or_(_F.c.host == host, ~alive.exists())


@as_a_whole
def note_written(store: "Store", attempt: AttemptId) -> None:
    """The error folder of this failure is there."""
    with store.writing() as unit:
        of_row = _F.c.attempt == attempt
        unit.execute(update(_F).where(of_row).values(made_us=unit.now_us, tries=0))


@as_a_whole
def postpone(store: "Store", attempt: AttemptId) -> None:
    """The janitor could do nothing about this row: it tries again, later each time."""
    with store.writing() as unit:
        of_row = _F.c.attempt == attempt
        tries = unit.execute(select(_F.c.tries).where(of_row)).scalar_one_or_none() or 0
        wait_us = min(_AGAIN_US << min(tries, 20), _AGAIN_MOST_US)
        values = {"tries": tries + 1, "not_before_us": unit.now_us + wait_us}
        unit.execute(update(_F).where(of_row).values(values))


@as_a_whole
def _forget(store: "Store", attempts: set[bytes]) -> None:
    with store.writing() as unit:
        unit.execute(delete(_F).where(_F.c.attempt.in_(attempts)))


# ----------------------------------------------------------------------------------------- removing


def expire(store: "Store", look: Callable[[Standing], Remove | None], *, most: int = 100) -> int:
    """Error folders that nothing needs any more are removed; return how many were looked at.

    Those of items that are done after all, and those of attempts that came to nothing: their workers
    died before the failure was recorded. `look` returns what removes one, which in turn returns a path
    that stays, if one does; None if the path cannot be seen from here. The first may take long; the
    second is called inside the transaction that records it, so that no task fails meanwhile.
    """
    with store.reading() as unit:
        is_due = and_(_F.c.path.is_not(None), _F.c.not_before_us <= unit.now_us)
        query = select(_F).join(_I, _I.c.id == _F.c.item_id)
        query = query.where(is_due, _is_for(store.host), _is_over(), ~_stands_at_its_path())
        rows = unit.execute(query.order_by(_F.c.attempt).limit(most)).fetchall()
        current = catalog(unit).current
        names = {row.id: row.name for row in unit.execute(select(_P.c.id, _P.c.name))}
        standings = [_standing(unit, row, current[names[row.pipeline_id]]) for row in rows]
    for row, standing in zip(rows, standings, strict=True):
        remove = look(standing)
        if remove is None:
            postpone(store, AttemptId(bytes(row.attempt)))
        else:
            _remove(store, row, remove)
    return len(rows)


def _standing(unit: Unit, row: Any, version: VersionId) -> Standing:
    path = os.fsdecode(bytes(row.path))
    known = publications.contents_in(unit, _tasks_of(unit, row.item_id), [path])
    return Standing(
        path=path,
        is_here=row.host == unit.store.host,
        contents=known.get(path, ()),
        pipeline=pipeline_of(unit, version),
    )


def _tasks_of(unit: Unit, item_id: int) -> frozenset[int]:
    return frozenset(unit.execute(select(_T.c.id).where(_T.c.item_id == item_id)).scalars())


def _is_over() -> ColumnElement[bool]:
    """Whether the item seems to be done, or the row stands for no failure."""
    return or_(_I.c.state == ItemState.DONE.value, ~_stands(_F))


def _stands(row: Any) -> ColumnElement[bool]:
    """Whether a row is of an attempt that failed, also where its task is tried again.

    What was pruned had failed. A lost attempt counts if its task has failed with it.
    """
    attempt, task = _A.alias(), _T.alias()
    ended = select(attempt.c.id).where(attempt.c.id == row.c.attempt)
    of_task = select(task.c.id).where(
        task.c.id == row.c.task_id,
        task.c.attempt == row.c.attempt,
        task.c.state == TaskState.FAILED.value,
    )
    return or_(
        ~ended.exists(), ended.where(attempt.c.state.in_(_FAILURES)).exists(), of_task.exists()
    )


def _stands_at_its_path() -> ColumnElement[bool]:
    """Whether the folder also holds another failure, of an item that is not done."""
    other, item = _F.alias(), _I.alias()
    is_done = select(item.c.id).where(
        item.c.id == other.c.item_id, item.c.state == ItemState.DONE.value
    )
    return (
        select(other.c.attempt)
        .where(other.c.digest == _F.c.digest, other.c.attempt != _F.c.attempt)
        .where(_stands(other), ~is_done.exists())
        .exists()
    )


@as_a_whole
def _remove(store: "Store", row: Any, remove: Remove) -> None:
    """The folder is removed, unless something has become of its item since it was looked at."""
    with store.writing() as unit:
        lock_tasks_of(unit, [row.item_id])
        seen = unit.execute(select(_F).where(_F.c.attempt == row.attempt)).one_or_none()
        if seen is None or seen.path != row.path or not _may_go(unit, row):
            return
        remove()
        at_path = and_(_F.c.item_id == row.item_id, _F.c.digest == row.digest)
        unit.execute(delete(_F).where(at_path))
        hit("error_folder.removed")


def _may_go(unit: Unit, row: Any) -> bool:
    """Whether all the item's tasks are done or skipped, or nothing at the path stands for a failure."""
    states = unit.execute(select(_T.c.state).where(_T.c.item_id == row.item_id)).scalars().all()
    if states and all(state in _SATISFIED for state in states):
        return True
    at_path = and_(_F.c.item_id == row.item_id, _F.c.digest == row.digest)
    return unit.execute(select(_F.c.attempt).where(at_path, _stands(_F))).first() is None


# ------------------------------------------------------------------------------------------ reading


def items_at(unit: Unit, paths: Sequence[str]) -> dict[str, int]:
    """Return the items whose error folders are at these paths, by path."""
    from stoker.store.ids import digest_of

    by_digest = {digest_of(os.fsencode(path)): path for path in paths}
    query = select(_F.c.digest, _F.c.item_id).where(_F.c.digest.in_(list(by_digest)))
    return {by_digest[bytes(row.digest)]: row.item_id for row in unit.execute(query)}
