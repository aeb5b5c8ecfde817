"""The only writer of states: of tasks, by transitions, of attempts, items, workers and pilots.

A transition becomes one guarded `UPDATE task … WHERE id = … AND state = … [AND attempt = …]` for
any number of tasks, and its journal rows, in the caller's transaction. If one of the rows is not as
the caller saw it, nothing of the transaction must stay: `WrongState` or `StaleAttempt` is raised,
and the transaction rolls back. Callers read the rows they move in the same transaction, so this is
the last line, not the usual way of finding out.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, insert, select, update

from stoker.errors import Bug, Foreign, StaleAttempt, WrongState
from stoker.model.states import (
    AttemptState,
    ItemState,
    PilotState,
    TaskState,
    WorkerState,
    item_state,
)
from stoker.model.transitions import Transition
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.journal import Entry, append
from stoker.store.unit import Prepared, Unit, param

_T, _A, _W = tables.task, tables.attempt, tables.worker


class Move(NamedTuple):
    """One task that makes a transition, with what the journal needs to know.

    `attempt` is the fence for a fenced transition, the new attempt for a claim, else None.
    `columns` are further columns of the task to set; `lane` among them only for a target of ready.
    """

    task_id: int
    from_state: int
    pipeline: str
    key: str
    step: str
    generation: int
    attempt: bytes | None = None
    columns: Mapping[str, Any] = {}
    body: str | None = None
    data: str | None = None


_statements: dict[tuple[str, tuple[str, ...]], Prepared] = {}


def _statement(transition: Transition, columns: tuple[str, ...]) -> Prepared:
    """The guarded update of a transition that sets these columns beside the state and the lane."""
    found = _statements.get((transition.name, columns))
    if found is None:
        guard = [_T.c.id == param("task_id_"), _T.c.state == param("from_state_")]
        if transition.fenced:
            guard.append(_T.c.attempt == param("attempt_"))
        values: dict[str, Any] = {"state": transition.target.value, "lane": None}
        if transition.sets_back:
            values["generation"] = param("generation")
        values |= {name: param(name) for name in columns}
        statement = update(_T).where(and_(*guard)).values(**values)
        found = Prepared(statement)
        _statements[transition.name, columns] = found
    return found


def move(unit: Unit, transition: Transition, moves: Sequence[Move]) -> None:
    """Every task has made the transition, and the journal says so, once the transaction commits.

    Raises WrongState (StaleAttempt for a fenced transition) where a task was not as stated, Foreign
    where its step belongs to another site than the one for which the transaction acts.
    """
    move_all(unit, [(transition, moves)])


def move_all(unit: Unit, batch: Sequence[tuple[Transition, Sequence[Move]]]) -> None:
    """`move` for several transitions, of different tasks."""
    _refuse_foreign(unit, batch)
    for transition, moves in batch:
        _move(unit, transition, moves)
    append(
        unit,
        [
            Entry(
                transition.name, one.pipeline, one.key, one.step, one.attempt, one.generation,
                one.from_state, transition.target.value, one.body, 1, one.data,
            )
            for transition, moves in batch
            for one in moves
        ],
    )  # fmt: skip


def _refuse_foreign(unit: Unit, batch: Sequence[tuple[Transition, Sequence[Move]]]) -> None:
    if unit.others is None:
        catalog(unit)
    others = unit.others
    if not others:
        return
    for transition, moves in batch:
        for one in moves:
            if (one.pipeline, one.step) in others:
                query = select(tables.site.c.name).where(tables.site.c.id == unit.site)
                raise Foreign(
                    f"`{transition.name}`: step `{one.step}` of pipeline `{one.pipeline}` does not "
                    f"belong to site `{unit.execute(query).scalar()}`; only its own site changes "
                    f"its tasks, so ask there for `{one.key}`"
                )


def _move(unit: Unit, transition: Transition, moves: Sequence[Move]) -> None:
    by_columns: dict[tuple[str, ...], list[Move]] = {}
    for one in moves:
        if TaskState(one.from_state) not in transition.sources:
            state = TaskState(one.from_state).word
            raise WrongState(
                f"task `{one.step}` of `{one.key}` is {state}; `{transition.name}` does not "
                "leave from there"
            )
        by_columns.setdefault(tuple(one.columns), []).append(one)
    for columns, rows in by_columns.items():
        _update(unit, transition, columns, rows)


def _update(
    unit: Unit, transition: Transition, columns: tuple[str, ...], rows: Sequence[Move]
) -> None:
    changed = unit.run_many(
        _statement(transition, columns),
        [
            {
                "task_id_": one.task_id,
                "from_state_": one.from_state,
                "attempt_": one.attempt,
                "state": transition.target.value,
                "lane": None,
                "generation": one.generation,
                **one.columns,
            }
            for one in rows
        ],
    )
    if changed != len(rows):
        error = StaleAttempt if transition.fenced else WrongState
        raise error(
            f"`{transition.name}`: {len(rows) - changed} of {len(rows)} tasks, "
            f"`{rows[0].step}` of `{rows[0].key}` or after it, changed meanwhile; nothing was done"
        )


_OPEN_FIELDS = (
    "id", "task_id", "number", "kind", "worker_id", "generation", "version_id", "consumed",
    "claimed_us", "cancel_requested", "batch_id",
)  # fmt: skip
_OPEN = Prepared(
    insert(_A).values(
        state=param("state"), site=param("site"), **{name: param(name) for name in _OPEN_FIELDS}
    )
)


def open_attempts(unit: Unit, rows: Sequence[Mapping[str, Any]]) -> None:
    """New attempts are running. The tasks' `claim` belongs to the same transaction."""
    unit.run_many(
        _OPEN,
        [
            {
                "state": AttemptState.RUNNING.value, "site": unit.store.site, "cancel_requested": False,
                "batch_id": None, **row,
            }
            for row in rows
        ],
    )  # fmt: skip


_END_FIELDS = (
    "started_us", "publishing_us", "ended_us", "pid", "command", "exit_code", "signal", "user_us", "system_us",
    "max_rss_bytes", "step_values", "reason", "cause", "node",
    "stdout_size", "stdout_truncated", "stdout_path", "stdout_text",
    "stderr_size", "stderr_truncated", "stderr_path", "stderr_text",
)  # fmt: skip
END_COLUMNS = dict.fromkeys(_END_FIELDS)
_END = Prepared(
    update(_A)
    .where(_A.c.id == param("attempt_"), _A.c.state == param("running_"))
    .values(state=param("state"), **{name: param(name) for name in _END_FIELDS})
)
_CLOSE = Prepared(
    update(_A)
    .where(_A.c.id == param("attempt_"), _A.c.state == param("running_"))
    .values(
        state=param("state"),
        ended_us=param("ended_us"),
        reason=param("reason"),
        cause=param("cause"),
    )
)


def end_attempts(unit: Unit, rows: Sequence[tuple[bytes, AttemptState, Mapping[str, Any]]]) -> None:
    """Running attempts have ended, with all that their workers reported of them."""
    _end(
        unit,
        _END,
        [
            {"attempt_": attempt, "state": state.value, "running_": 0, **columns}
            for attempt, state, columns in rows
        ],
    )


def close_attempts(unit: Unit, attempts: Sequence[bytes], state: AttemptState, reason: str) -> None:
    """Running attempts have ended without a report: lost, or fenced off."""
    _end(
        unit,
        _CLOSE,
        [
            {
                "attempt_": attempt, "state": state.value, "running_": 0,
                "ended_us": unit.now_us, "reason": reason, "cause": reason,
            }
            for attempt in attempts
        ],
    )  # fmt: skip


def _end(unit: Unit, statement: Prepared, rows: list[dict[str, Any]]) -> None:
    changed = unit.run_many(statement, rows)
    if changed != len(rows):
        raise StaleAttempt(
            f"{len(rows) - changed} of {len(rows)} attempts had ended already; nothing was done"
        )


def add_worker(unit: Unit, columns: Mapping[str, Any]) -> int:
    """A new worker is alive; return its id."""
    done = unit.execute(insert(_W).values(state=WorkerState.ALIVE.value, **columns))
    if done.inserted_primary_key is None:
        raise Bug("the store gave a new worker no id")
    return int(done.inserted_primary_key[0])


def end_worker(
    unit: Unit, worker_id: int, state: WorkerState, *, lease_before_us: int | None = None
) -> bool:
    """The worker is no longer alive; False, and nothing changed, if it was not.

    With `lease_before_us`, only if its lease ends before that time: the worker may have renewed it
    since the caller looked.
    """
    guard = [_W.c.id == worker_id, _W.c.state == WorkerState.ALIVE.value]
    if lease_before_us is not None:
        guard.append(_W.c.lease_until_us < lease_before_us)
    done = unit.execute(
        update(_W).where(and_(*guard)).values(state=state.value, ended_us=unit.now_us)
    )
    return bool(done.rowcount)


def move_pilot(
    unit: Unit,
    pilot_id: int,
    sources: Sequence[PilotState],
    target: PilotState,
    columns: Mapping[str, Any],
) -> bool:
    """The pilot is in the state `target`, with these columns; False if it was in no source state."""
    pilot = tables.pilot
    guard = [pilot.c.id == pilot_id, pilot.c.state.in_([state.value for state in sources])]
    done = unit.execute(update(pilot).where(and_(*guard)).values(state=target.value, **columns))
    return bool(done.rowcount)


def admit_item(unit: Unit, item_id: int) -> None:
    """An item that was in quarantine waits for its tasks; they belong to the same transaction."""
    item, quarantined = tables.item, ItemState.QUARANTINED.value
    done = unit.execute(
        update(item)
        .where(and_(item.c.id == item_id, item.c.state == quarantined))
        .values(state=ItemState.WAITING.value)
    )
    if done.rowcount != 1:
        raise WrongState("the item is not in quarantine any more; nothing was done")


_SET_ITEM = Prepared(
    update(tables.item).where(tables.item.c.id == param("item_id")).values(state=param("new_state"))
)


@functools.cache
def _item_state(tasks: frozenset[TaskState]) -> ItemState:
    return item_state(TaskState(state) for state in tasks)


def set_item_states(
    unit: Unit, items: Mapping[int, tuple[ItemState, set[TaskState]]]
) -> Iterator[tuple[int, int]]:
    """Bring items' states up to their tasks' states; yield `(old, new)` of each that changed."""
    changed = []
    for item_id, (old, tasks) in items.items():
        new = _item_state(frozenset(tasks))
        if new != old:
            changed.append({"item_id": item_id, "new_state": new.value})
            yield int(old), new.value
    unit.run_many(_SET_ITEM, changed)
