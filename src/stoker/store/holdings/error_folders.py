"""Error folders (rule E): which there are, whose they are, and which are to be written or removed.

A row for each attempt after which a task has failed for good, in a pipeline that has an error folder.
It is made with the reservation of the path, before anything is there; or without a path in the
transaction in which the task fails, where nobody has written the folder: the attempt was lost or never
started, or a disk was full. A janitor then writes what is known of it.

The folder is the item's: a task may replace what another task of the item has left there.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, insert, or_, select, update

from stoker.errors import StaleAttempt, Unavailable
from stoker.failpoints import hit
from stoker.model.id_types import AttemptId, TaskId
from stoker.model.states import AttemptState, TaskState
from stoker.model.task import Content, Wanted
from stoker.store import tables
from stoker.store.catalog import pipeline_of
from stoker.store.holdings import publications
from stoker.store.ids import digest_of
from stoker.store.steps import Catalog
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_F = tables.error_folder
_T, _I, _A, _W = tables.task, tables.item, tables.attempt, tables.worker


def are_any(store: "Store") -> bool:
    """Whether there is any error folder, or is to be."""
    with store.reading() as unit:
        return unit.execute(select(_F.c.attempt).limit(1)).first() is not None


# ------------------------------------------------------------------------------------- writing one


def contents_of(
    store: "Store", task_id: TaskId, paths: Iterable[str]
) -> dict[str, tuple[Content, ...]]:
    """Return what the item's tasks may have left at these paths as its error folder."""
    wanted = list(paths)
    with store.reading() as unit:
        own = _owners(unit, task_id, [digest_of(os.fsencode(path)) for path in wanted])
        return publications.contents_in(unit, own, wanted)


def failed_beside(store: "Store", task_id: TaskId) -> frozenset[AttemptId]:
    """Return the attempts after which other tasks of the item have failed for good, and still are.

    Those among them whose end is not recorded yet, too: they have written there.
    """
    own = _T.alias("own")
    is_failing = and_(
        _T.c.state == TaskState.RUNNING.value,
        select(_F.c.attempt).where(_F.c.attempt == _T.c.attempt).exists(),
    )
    query = (
        select(_T.c.attempt)
        .join(own, own.c.item_id == _T.c.item_id)
        .where(own.c.id == task_id, _T.c.id != task_id)
        .where(or_(_T.c.state == TaskState.FAILED.value, is_failing))
    )
    with store.reading() as unit:
        return frozenset(AttemptId(bytes(one)) for one in unit.execute(query).scalars())


@as_a_whole
def begin(
    store: "Store",
    attempt: AttemptId,
    task_id: TaskId,
    names: Sequence[str],
    *,
    is_later: bool = False,
) -> None:
    """The item's error folder is to be at the path that these names lead to.

    Called before anybody looks what is there. StaleAttempt unless the task runs with this attempt or,
    `is_later`, has failed with it. Unavailable while an attempt of another task of the item, which has
    begun, has not ended: until this one ends, no other begins.
    """
    with store.writing() as unit:
        item_id = _check_fence(unit, attempt, task_id, is_later=is_later)
        digests = [digest_of(os.fsencode(name)) for name in names]
        _refuse_haste(unit, item_id, digests, attempt)
        _note(unit, attempt, task_id, item_id, names[0], is_written=not is_later)
        hit("error_folder.begun")


@as_a_whole
def reserve(
    store: "Store", attempt: AttemptId, task_id: TaskId, wanted: Wanted, *, is_later: bool = False
) -> None:
    """The path is the item's error folder, and what is about to be there is recorded.

    Called after `begin` and before anything is there, with the same fence. OutputConflict as for
    outputs.
    """
    with store.writing() as unit:
        _check_fence(unit, attempt, task_id, is_later=is_later)
        own = _owners(unit, task_id, [digest_of(os.fsencode(name)) for name in wanted.names])
        publications.take(unit, attempt, task_id, [wanted], own=own)
        hit("error_folder.before_commit")


def _check_fence(unit: Unit, attempt: bytes, task_id: int, *, is_later: bool) -> int:
    """Return the task's item; StaleAttempt if the task is not, or no longer, this attempt's."""
    query = select(_T.c.state, _T.c.attempt, _T.c.item_id).where(_T.c.id == task_id)
    row = unit.execute(query.with_for_update()).one_or_none()
    state = TaskState.FAILED if is_later else TaskState.RUNNING
    if row is None or row.state != state or row.attempt != attempt:
        raise StaleAttempt("the task was given to another attempt; this one leaves nothing")
    return int(row.item_id)


def _refuse_haste(unit: Unit, item_id: int, digests: Sequence[bytes], attempt: bytes) -> None:
    """Unavailable while an attempt that has begun with one of these paths may not have written there."""
    busy = (
        select(_F.c.attempt)
        .join(_A, _A.c.id == _F.c.attempt)
        .where(_F.c.item_id == item_id, _F.c.digest.in_(digests), _F.c.attempt != attempt)
        .where(_A.c.state == AttemptState.RUNNING.value)
    )
    if unit.execute(busy.limit(1)).first() is not None:
        raise Unavailable("another step of the item is about to write its error folder")


def _owners(unit: Unit, task_id: int, digests: Sequence[bytes]) -> frozenset[int]:
    """Return the tasks whose error folder is at one of these paths and may be replaced by this one."""
    own = _T.alias("own")
    query = (
        select(_F.c.task_id)
        .join(own, own.c.item_id == _F.c.item_id)
        .where(own.c.id == task_id, _F.c.digest.in_(digests))
    )
    return frozenset({task_id, *unit.execute(query).scalars(), *publications.givers(unit, task_id)})


def _note(
    unit: Unit, attempt: bytes, task_id: int, item_id: int, path: str, *, is_written: bool
) -> None:
    """The attempt's row has the path; those of the task's earlier attempts at this path are gone."""
    raw = os.fsencode(path)
    digest = digest_of(raw)
    older = and_(_F.c.task_id == task_id, or_(_F.c.digest == digest, _F.c.path.is_(None)))
    unit.execute(delete(_F).where(or_(older, _F.c.attempt == attempt)))
    row = {
        "attempt": attempt,
        "task_id": task_id,
        "item_id": item_id,
        "path": raw,
        "digest": digest,
    }
    _insert(unit, [row | {"made_us": unit.now_us if is_written else None}])


def _insert(unit: Unit, rows: Sequence[Mapping[str, Any]]) -> None:
    """These rows are there; of the attempts' workers they have the host."""
    found = select(_A.c.id, _W.c.host).outerjoin(_W, _W.c.id == _A.c.worker_id)
    wanted = [row["attempt"] for row in rows]
    hosts = {bytes(row.id): row.host for row in unit.execute(found.where(_A.c.id.in_(wanted)))}
    items = [row["item_id"] for row in rows]
    query = select(_I.c.id, _I.c.pipeline_id).where(_I.c.id.in_(items))
    pipelines = {row.id: row.pipeline_id for row in unit.execute(query)}
    unit.execute(
        insert(_F),
        [
            {
                **row,
                "pipeline_id": pipelines[row["item_id"]],
                "host": hosts.get(bytes(row["attempt"])) or "",
                "not_before_us": 0,
                "tries": 0,
            }
            for row in rows
        ],
    )


def note_failed(unit: Unit, known: Catalog, failed: Iterable[tuple[str, bytes, int, int]]) -> None:
    """The error folders of these failures are to be written: pipeline, attempt, task and item of each.

    Part of the transaction in which the tasks fail. Nothing is noted for pipelines without one.
    """
    rows = [
        {"attempt": attempt, "task_id": task, "item_id": item, "path": None, "digest": None,
         "made_us": None}
        for pipeline, attempt, task, item in failed
        if pipeline_of(unit, known.current[pipeline]).error_folder is not None
    ]  # fmt: skip
    if not rows:
        return
    attempts, tasks = [row["attempt"] for row in rows], [row["task_id"] for row in rows]
    is_older = and_(_F.c.task_id.in_(tasks), _F.c.path.is_(None), _F.c.attempt.not_in(attempts))
    unit.execute(delete(_F).where(is_older))
    # One whose worker died after it had the path may have been written: the janitor looks.
    unit.execute(update(_F).where(_F.c.attempt.in_(attempts)).values(made_us=None))
    there = unit.execute(select(_F.c.attempt).where(_F.c.attempt.in_(attempts))).scalars()
    known_ones = set(map(bytes, there))
    new = [row for row in rows if row["attempt"] not in known_ones]
    if new:
        _insert(unit, new)
