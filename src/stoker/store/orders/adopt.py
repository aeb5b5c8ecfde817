"""Adopting: tasks whose results exist already become done, by an attempt of kind `adopted`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from stoker.model import transitions
from stoker.model.states import AttemptState, TaskState
from stoker.model.task import Published, Wanted
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.apply import END_COLUMNS, Move, end_attempts, move, open_attempts
from stoker.store.catalog import catalog
from stoker.store.ends.successors import Of, satisfy
from stoker.store.holdings.places import output_rows
from stoker.store.holdings.publications import take
from stoker.store.ids import new_attempt_id, text_of
from stoker.store.journal import to_json
from stoker.store.locks import lock_tasks
from stoker.store.steps import Catalog, StepEntry
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _I, _O = tables.task, tables.item, tables.output
ADOPTED = 1  # the kind of such an attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The outputs of one task, as they were found at their published paths."""

    task_id: int
    step_id: int
    outputs: tuple[Published, ...]
    wanted: tuple[Wanted, ...]  # their paths


@as_a_whole
def adopt(store: "Store", found: Found, actor: Actor, *, dry_run: bool = False) -> bool:
    """The task is done with these outputs and owns their paths, and what follows may be ready.

    False, and nothing changed, if the task has begun or is over since it was looked at, or if its step
    belongs to another site.
    OutputConflict if a path belongs to another task.
    """
    with store.writing(dry_run=dry_run) as unit:
        known = catalog(unit)
        lock_tasks(unit, [found.task_id])
        row = unit.execute(
            select(
                _T.c.state,
                _T.c.number,
                _T.c.item_id,
                _I.c.key,
                _I.c.generation,
                _I.c.size_bytes,
                _I.c.by_user,
            )
            .join(_I, _I.c.id == _T.c.item_id)
            .where(_T.c.id == found.task_id)
        ).one_or_none()
        entry = known.steps[found.step_id]
        if row is None or entry.is_foreign:
            return False
        if TaskState(row.state) not in transitions.ADOPT.sources:
            return False
        consumed = _consumed(unit, known, row.item_id, entry)
        attempt = new_attempt_id()
        take(unit, attempt, found.task_id, found.wanted)
        open_attempts(
            unit,
            [
                {
                    "id": attempt, "task_id": found.task_id, "number": row.number + 1,
                    "kind": ADOPTED, "worker_id": None, "generation": row.generation,
                    "version_id": known.current[entry.pipeline],
                    "consumed": to_json(consumed) if consumed else None,
                    "claimed_us": unit.now_us,
                }
            ],
        )  # fmt: skip
        said = f"adopted by {actor.user}" + (f": {actor.reason}" if actor.reason else "")
        ended = {**END_COLUMNS, "ended_us": unit.now_us, "reason": said}
        end_attempts(unit, [(attempt, AttemptState.SUCCEEDED, ended)])
        if found.outputs:
            unit.execute(insert(_O), output_rows(attempt, found.outputs))
        columns = {
            "attempt": attempt, "number": row.number + 1, "body_id": entry.body_id,
            "not_before_us": None, "reason": None,
        }  # fmt: skip
        data: dict[str, Any] = {
            "number": row.number + 1,
            "version": known.numbers[entry.pipeline],
            "consumed": consumed,
            "state": AttemptState.SUCCEEDED.word,
            "ended_us": unit.now_us,
            "by": actor.user,
            "reason": said,
            "outputs": [[o.name, o.path, o.size_bytes, o.checksum] for o in found.outputs],
        }
        one = Move(
            found.task_id, row.state, entry.pipeline, row.key, entry.name, row.generation, attempt,
            columns, entry.body_hash, to_json(data),
        )  # fmt: skip
        move(unit, transitions.ADOPT, [one])
        satisfy(
            unit,
            known,
            [(row.item_id, entry)],
            {row.item_id: Of(row.key, row.generation, row.size_bytes, row.by_user)},
        )
    return True


def _consumed(unit: Unit, known: Catalog, item_id: int, entry: StepEntry) -> dict[str, str]:
    """Return by name the attempts of the steps before this one that its results may come from."""
    if not entry.predecessors:
        return {}
    query = select(_T.c.step_id, _T.c.attempt).where(
        _T.c.item_id == item_id,
        _T.c.step_id.in_(entry.predecessors),
        _T.c.state == TaskState.DONE.value,
    )
    return {known.steps[row.step_id].name: text_of(row.attempt) for row in unit.execute(query)}
