"""Redoing: setting tasks back to the beginning, with all that follows from them.

Part of transactions of others: a person's `rerun`, changed content of an item, a host that is gone.
"""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, select, update

from stoker.model import transitions
from stoker.model.selection import Selection
from stoker.model.states import AttemptState, TaskState
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.apply import Move, close_attempts, move
from stoker.store.catalog import catalog
from stoker.store.ends.successors import followers
from stoker.store.holdings import temporary
from stoker.store.holdings.together import unbind
from stoker.store.journal import Entry, append, to_json
from stoker.store.lanes import lane_of
from stoker.store.locks import lock_tasks_of
from stoker.store.steps import Catalog
from stoker.store.unit import Unit

_T, _I, _S, _P, _A, _B = (
    tables.task, tables.item, tables.step, tables.pipeline, tables.attempt, tables.body,
)  # fmt: skip
EXAMPLES = 5
_AT_ONCE = 1_000  # items in a statement
FOREIGN = "of other sites"
FENCED_OFF = "fenced off: a step before it is to run again"
_ON_DISK = (TaskState.DONE, TaskState.SKIPPED, TaskState.RUNNING)  # what others may need is there
_COUNTS = ("tries", "lost", "cut_off", "level")
_AGAIN = (TaskState.READY, TaskState.DONE, TaskState.SKIPPED)
COLUMNS = (
    _T.c.id, _T.c.state, _T.c.item_id, _T.c.step_id, _T.c.level, _T.c.waiting_on, _T.c.attempt,
    _T.c.body_id, _T.c.reason.label("said"), _I.c.key, _I.c.generation, _I.c.params, _I.c.meta,
    _I.c.size_bytes, _S.c.name.label("step"), _P.c.name.label("pipeline"), _A.c.step_values,
    _A.c.started_us, _A.c.publishing_us, _A.c.node, _A.c.batch_id,
    _I.c.by_user, _T.c.host,
)  # fmt: skip


@dataclass(slots=True)
class Changed:
    """What a verb changed, or would change.

    `changed` counts tasks by transition, `left` those of the selection that were left as they are,
    by state, or as `FOREIGN`; `examples` are the first few changed. `unknown` counts the names of a
    list that mean no item, of which `messages` are the first. `tasks` are the ids of the changed ones.
    """

    changed: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    unknown: int = 0
    messages: list[str] = field(default_factory=list)
    tasks: "array[int]" = field(default_factory=lambda: array("q"), repr=False, compare=False)

    @property
    def total(self) -> int:
        """How many tasks changed."""
        return sum(self.changed.values())

    def count(self, name: str, row: Any) -> None:
        """Count one changed task."""
        self.changed[name] = self.changed.get(name, 0) + 1
        self.tasks.append(row.id)
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{row.pipeline}: {row.key}: {row.step}")

    def add(self, other: "Changed") -> None:
        """Count what another transaction changed too."""
        for mine, more in ((self.changed, other.changed), (self.left, other.left)):
            for name, n in more.items():
                mine[name] = mine.get(name, 0) + n
        self.examples += other.examples[: EXAMPLES - len(self.examples)]
        self.tasks.extend(other.tasks)

    def leave_foreign(self) -> None:
        """Count one task that another site alone may change."""
        self.left[FOREIGN] = self.left.get(FOREIGN, 0) + 1

    def leave(self, state: int) -> None:
        """Count one task that the verb does not apply to."""
        word = TaskState(state).word
        self.left[word] = self.left.get(word, 0) + 1


def redo_item(unit: Unit, item_id: int, data: str, *, reason: str) -> None:
    """All tasks of the item are to be done again, as its content changed; `data` is the new item.

    Part of the caller's transaction, which has raised the item's generation.
    """
    redo_items(unit, {item_id: data}, reason=reason)


def redo_items(unit: Unit, items: Mapping[int, str], *, reason: str) -> None:
    """`redo_item` for several items of one pipeline."""
    lock_tasks_of(unit, items)
    known = catalog(unit)
    listed = sorted(items)
    for at in range(0, len(listed), _AT_ONCE):
        some = listed[at : at + _AT_ONCE]
        query = select(_I.c.id, _I.c.key, _I.c.generation, _P.c.name)
        query = query.join(_P, _P.c.id == _I.c.pipeline_id).where(_I.c.id.in_(some))
        rows = unit.execute(query.order_by(_I.c.id)).fetchall()
        append(
            unit,
            [
                Entry("change", row.name, row.key, generation=row.generation, data=items[row.id])
                for row in rows
            ],
        )
        steps = {entry.id for entry in known.of_pipeline(rows[0].name)}
        wanted = dict.fromkeys(some, steps)
        _redo_all(unit, known, wanted, {"reason": reason}, Changed(), raised=True)


def begin_again(unit: Unit, item_id: int, steps: set[int], reason: str) -> bool:
    """These steps of the item are to be done again, as what they left is out of reach.

    False, and nothing changed, if one of them runs. Part of the caller's transaction.
    """
    lock_tasks_of(unit, [item_id])
    tasks = _of_items(unit, [item_id]).get(item_id, {})
    rows = [row for row in tasks.values() if row.step_id in steps]
    if any(row.state == TaskState.RUNNING for row in rows):
        return False
    again = {row.step_id for row in rows if TaskState(row.state) in _AGAIN}
    redo(unit, catalog(unit), item_id, again, {"reason": reason}, Changed())
    return True


def as_move(row: Any, columns: Mapping[str, Any], data: Mapping[str, Any]) -> Move:
    """A move of a task by a person; the journal learns of a fresh allowance of retries."""
    counts = {name: columns[name] for name in _COUNTS if name in columns}
    return Move(
        row.id, row.state, row.pipeline, row.key, row.step, row.generation, None, columns, None,
        to_json({**data, **counts}),
    )  # fmt: skip


def redo(
    unit: Unit,
    known: Catalog,
    item_id: int,
    steps: set[int],
    data: Mapping[str, Any],
    done: Changed,
    *,
    raised: bool = False,
) -> set[int]:
    """Set these steps of an item, and all that follow from them, back to the beginning.

    The item's generation goes up with it, unless the caller has `raised` it. Tasks of other sites that
    follow keep their state, which their own site sets back as it reads of it: they have the new
    generation, and the journal names their steps. Return the ids of the tasks that changed their state.
    """
    return _redo_all(unit, known, {item_id: steps}, data, done, raised=raised)


def _redo_all(
    unit: Unit,
    known: Catalog,
    wanted: Mapping[int, set[int]],
    data: Mapping[str, Any],
    done: Changed,
    *,
    raised: bool,
) -> set[int]:
    """`redo` for several items, with the steps of each."""
    rows_of = _of_items(unit, wanted)
    removed = temporary.removed_steps(unit, wanted)
    moves: dict[str, list[Move]] = {}
    moved: list[int] = []
    elsewhere: dict[int, list[int]] = {}
    for item_id, of_item in wanted.items():
        steps = {step for step in of_item if not known.steps[step].is_foreign}
        rows = rows_of.get(item_id, {})
        affected = _affected(known, steps, removed.get(item_id, set()))
        _let_go(unit, known, item_id, rows, affected)
        foreign = [step for step in affected if step in rows and known.steps[step].is_foreign]
        said = data
        if foreign:
            said = {**data, "elsewhere": sorted(known.steps[step].name for step in foreign)}
        own: dict[str, list[Move]] = {}
        _redo_tasks(unit, known, rows, steps, affected, said, own, done)
        if not own:
            continue
        moved.append(item_id)
        if foreign:
            elsewhere[item_id] = foreign
        for name, several in own.items():
            moves.setdefault(name, []).extend(several)
    if moved and not raised:
        raise_generation = _I.c.generation + 1
        unit.execute(update(_I).where(_I.c.id.in_(moved)).values(generation=raise_generation))
        moves = {
            name: [one._replace(generation=one.generation + 1) for one in several]
            for name, several in moves.items()
        }
    for name, several in moves.items():
        move(unit, transitions.BY_NAME[name], several)
    for item_id, foreign in elsewhere.items():
        generation = select(_I.c.generation).where(_I.c.id == item_id).scalar_subquery()
        of_steps = and_(_T.c.item_id == item_id, _T.c.step_id.in_(foreign))
        unit.execute(update(_T).where(of_steps).values(generation=generation))
    return {one.task_id for several in moves.values() for one in several}


def _redo_tasks(
    unit: Unit,
    known: Catalog,
    rows: Mapping[int, Any],
    steps: set[int],
    affected: set[int],
    data: Mapping[str, Any],
    moves: dict[str, list[Move]],
    done: Changed,
) -> None:
    """Add the moves that take the affected tasks of one item back."""
    for step, row in rows.items():
        if step not in affected or known.steps[step].is_foreign:
            continue
        if row.state == TaskState.BLOCKED and step in steps:
            done.leave(row.state)
        entry = known.steps[step]
        waiting_on = sum(
            before in affected or not TaskState(rows[before].state).is_satisfied
            for before in entry.predecessors
            if before in rows
        )
        _redo_task(unit, known, row, waiting_on, data, moves, done)


def _let_go(
    unit: Unit, known: Catalog, item_id: int, rows: dict[int, Any], affected: set[int]
) -> None:
    """Steps that stay together may go to another host where nothing of theirs is left that is done."""
    loose = {
        step
        for step, row in rows.items()
        if row.host is not None
        and not any(
            TaskState(rows[other].state) in _ON_DISK
            for other in known.steps[step].together
            if other in rows and other not in affected
        )
    }
    if loose:
        unbind(unit, known, item_id, loose, rows[min(loose)].by_user)
        rows.update(_of_items(unit, [item_id])[item_id])


def _of_items(unit: Unit, items: Iterable[int]) -> dict[int, dict[int, Any]]:
    """Return the tasks of these items, by item and step."""
    done_with = select(_B.c.hash).where(_B.c.id == _T.c.body_id).scalar_subquery()
    query = selections.task_query(Selection(), *COLUMNS, done_with.label("done_with"))
    query = query.where(_T.c.item_id.in_(list(items)))
    found: dict[int, dict[int, Any]] = {}
    for row in unit.execute(query):
        found.setdefault(row.item_id, {})[row.step_id] = row
    return found


def _affected(known: Catalog, steps: set[int], removed: set[int]) -> set[int]:
    """Return these steps, all that follow, and those whose deleted outputs they need again."""
    affected: set[int] = set()
    todo = set(steps)
    while todo:
        step = todo.pop()
        affected.add(step)
        entry = known.steps[step]
        todo.update(followers(known, entry))
        todo.update(removed.intersection(entry.predecessors))
        todo -= affected
    return affected


def _redo_task(
    unit: Unit,
    known: Catalog,
    row: Any,
    waiting_on: int,
    data: Mapping[str, Any],
    moves: dict[str, list[Move]],
    done: Changed,
) -> None:
    """Add the move that takes one task back to ready, or to blocked behind `waiting_on` others."""
    fresh: dict[str, Any] = {
        "waiting_on": waiting_on, "tries": 0, "lost": 0, "cut_off": 0, "level": 0,
        "not_before_us": None, "body_id": None, "worker_id": None, "reason": None,
    }  # fmt: skip
    entry = known.steps[row.step_id]
    body = row.done_with if row.state == TaskState.DONE else None
    if row.state == TaskState.RUNNING:
        # Its slots stay with the attempt until its worker says that the process is gone.
        close_attempts(unit, [row.attempt], AttemptState.CANCELLED, FENCED_OFF)
        transition = transitions.REVOKE if waiting_on else transitions.REVOKE_READY
        ended = {
            "state": AttemptState.CANCELLED.word, "reason": FENCED_OFF, "cause": FENCED_OFF,
            "started_us": row.started_us, "publishing_us": row.publishing_us,
            "ended_us": unit.now_us, "node": row.node, "batch_id": row.batch_id,
        }  # fmt: skip
        if "elsewhere" in data:
            ended["elsewhere"] = data["elsewhere"]
        one = as_move(row, fresh, ended)._replace(attempt=row.attempt)
    elif row.state == TaskState.BLOCKED:
        values = {"waiting_on": waiting_on, "reason": None}
        unit.execute(update(_T).where(_T.c.id == row.id).values(**values))
        return
    else:
        transition = transitions.BLOCK if waiting_on else transitions.RERUN
        one = as_move(row, fresh, data)._replace(body=body)
    if not waiting_on:
        lane = lane_of(unit, entry, 0, row.by_user, row.host)
        one = one._replace(columns={**fresh, "lane": lane})
    moves.setdefault(transition.name, []).append(one)
    done.count(transition.name, row)
