"""What is out: the running attempts of an outpost, and what each was given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from stoker.model.id_types import AttemptId, TaskId, WorkerId
from stoker.model.pipeline import Pipeline
from stoker.model.states import AttemptState
from stoker.model.task import Claimed
from stoker.store import tables
from stoker.store.ids import text_of
from stoker.store.reports.reproduction import as_attempted

if TYPE_CHECKING:
    from stoker.store.unit import Store

_A, _T, _I, _S, _P = tables.attempt, tables.task, tables.item, tables.step, tables.pipeline


@dataclass(frozen=True, slots=True)
class Carried:
    """An attempt that is out, by its names. `id` is as people write it."""

    attempt: AttemptId
    task_id: TaskId
    id: str
    pipeline: str
    item: str
    step: str
    is_unwanted: bool  # somebody has asked for its end, or its task has moved on
    node: str | None = None  # where it runs, as far as a visit has seen
    batch_id: str | None = None


def carried(store: "Store", worker_id: WorkerId) -> dict[str, Carried]:
    """Return the running attempts of the worker, by their 32 digits."""
    query = (
        select(
            _A.c.id, _A.c.task_id, _A.c.cancel_requested, _I.c.key, _S.c.name.label("step"),
            _P.c.name.label("pipeline"), _T.c.attempt.label("current"), _A.c.generation,
            _T.c.generation.label("since"), _A.c.node, _A.c.batch_id,
        )
        .select_from(
            _A.join(_T, _T.c.id == _A.c.task_id)
            .join(_I, _I.c.id == _T.c.item_id)
            .join(_S, _S.c.id == _T.c.step_id)
            .join(_P, _P.c.id == _I.c.pipeline_id)
        )
        .where(_A.c.worker_id == worker_id, _A.c.state == AttemptState.RUNNING.value)
    )  # fmt: skip
    with store.reading() as unit:
        rows = unit.execute(query).fetchall()
    return {
        bytes(row.id).hex(): Carried(
            AttemptId(bytes(row.id)),
            TaskId(row.task_id),
            text_of(bytes(row.id)),
            row.pipeline,
            row.key,
            row.step,
            bool(row.cancel_requested)
            or bytes(row.current) != bytes(row.id)
            or row.generation < row.since,
            row.node,
            row.batch_id,
        )
        for row in rows
    }


def given_to(store: "Store", one: Carried) -> tuple[Claimed, Pipeline]:
    """Return what the attempt was given, and the pipeline as it was then."""
    return as_attempted(store, one)


def okeys_of(store: "Store", tasks: Sequence[TaskId]) -> dict[TaskId, int]:
    """Return the place of each task in the order of claims."""
    with store.reading() as unit:
        rows = unit.execute(select(_T.c.id, _T.c.okey).where(_T.c.id.in_(tasks))).fetchall()
    return {TaskId(row.id): int(row.okey) for row in rows}
