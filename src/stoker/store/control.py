"""What a person changes: hold, release, cancel, retry, rerun. Every verb can be rehearsed.

Verbs work through a selection in transactions of a thousand tasks, so that workers go on meanwhile;
a verb cut short has done whole tasks only, and the same call again does the rest.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from stoker.model import transitions
from stoker.model.selection import Selection
from stoker.model.states import AttemptState, TaskState
from stoker.model.transitions import Transition
from stoker.store import selection as selections
from stoker.store import tables, temporary
from stoker.store.apply import Move, close_attempts, move
from stoker.store.catalog import Catalog, catalog
from stoker.store.finish import followers
from stoker.store.journal import Entry, append, to_json
from stoker.store.lanes import lane_of
from stoker.store.locks import lock_tasks, lock_tasks_of
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.connect import Store

_T, _I, _S, _P, _A = tables.task, tables.item, tables.step, tables.pipeline, tables.attempt
EXAMPLES = 5
_Choice = Callable[[Any, Catalog], tuple[Transition, dict[str, Any]] | None]
_INTO_LANE = frozenset(
    one.name for one in transitions.TRANSITIONS if one.target is TaskState.READY
)  # a task that gets ready stands in a lane
FENCED_OFF = "fenced off: a step before it is to run again"


@dataclass(slots=True)
class Changed:
    """What a verb changed, or would change.

    `changed` counts tasks by transition, `left` those of the selection that were left as they are,
    by state; `examples` are the first few changed.
    """

    changed: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many tasks changed."""
        return sum(self.changed.values())

    def count(self, name: str, row: Any) -> None:
        """Count one changed task."""
        self.changed[name] = self.changed.get(name, 0) + 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{row.pipeline}: {row.key}: {row.step}")

    def add(self, other: "Changed") -> None:
        """Count what another transaction changed too."""
        for mine, more in ((self.changed, other.changed), (self.left, other.left)):
            for name, n in more.items():
                mine[name] = mine.get(name, 0) + n
        self.examples += other.examples[: EXAMPLES - len(self.examples)]

    def leave(self, state: int) -> None:
        """Count one task that the verb does not apply to."""
        word = TaskState(state).word
        self.left[word] = self.left.get(word, 0) + 1


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks for a change, and why."""

    user: str
    reason: str | None = None

    def data(self) -> dict[str, Any]:
        """The same, for the journal."""
        return {"by": self.user} | ({"reason": self.reason} if self.reason else {})


def hold(store: "Store", selection: Selection, who: Who, *, dry_run: bool = False) -> Changed:
    """The selected tasks that have not begun will not be claimed until they are released."""
    columns = {"reason": _said(who, "held")}

    def chosen(row: Any, _known: Catalog) -> tuple[Transition, dict[str, Any]] | None:
        is_due = TaskState(row.state) in transitions.HOLD.sources
        return (transitions.HOLD, columns) if is_due else None

    return _change(store, selection, who, chosen, dry_run=dry_run)


def release(store: "Store", selection: Selection, who: Who, *, dry_run: bool = False) -> Changed:
    """The selected held tasks are ready again, or blocked where a predecessor is not done."""

    def chosen(row: Any, _known: Catalog) -> tuple[Transition, dict[str, Any]] | None:
        if row.state != TaskState.HELD:
            return None
        transition = transitions.RELEASE_BLOCKED if row.waiting_on else transitions.RELEASE
        return transition, {"reason": None}

    return _change(store, selection, who, chosen, dry_run=dry_run)


def retry(store: "Store", selection: Selection, who: Who, *, dry_run: bool = False) -> Changed:
    """The selected failed tasks are ready, with a fresh allowance of retries; history stays."""

    def chosen(row: Any, _known: Catalog) -> tuple[Transition, dict[str, Any]] | None:
        if row.state != TaskState.FAILED:
            return None
        return transitions.RETRY, {"tries": 0, "lost": 0}

    return _change(store, selection, who, chosen, dry_run=dry_run)


def cancel(store: "Store", selection: Selection, who: Who, *, dry_run: bool = False) -> Changed:
    """The selected open or failed tasks are cancelled; running ones as soon as they are stopped.

    A running attempt is asked to stop (counted as `stop`): its worker kills it within seconds and
    records the end.
    """
    columns = {"reason": _said(who, "cancelled")}

    def chosen(row: Any, _known: Catalog) -> tuple[Transition, dict[str, Any]] | None:
        if row.state == TaskState.RUNNING:
            return transitions.STOP, {}
        is_due = TaskState(row.state) in transitions.CANCEL.sources
        return (transitions.CANCEL, columns) if is_due else None

    return _change(store, selection, who, chosen, dry_run=dry_run)


def rerun(
    store: "Store",
    selection: Selection,
    who: Who,
    *,
    outdated: bool = False,
    dry_run: bool = False,
) -> Changed:
    """The selected tasks are ready and all that follow from them blocked, to be done anew.

    With `outdated`, only done tasks whose step has changed since. A selected task that is running
    is left alone; a running follower is fenced off, and its worker stops it. One transaction for
    every few hundred items.
    """
    done = Changed()
    chosen = _rerun_filter(selection, outdated=outdated)
    for rows in _selected(store, selection):
        done.add(_rerun_page(store, rows, chosen, who, dry_run=dry_run))
    return done


@as_a_whole
def _rerun_page(
    store: "Store",
    rows: Sequence[Any],
    chosen: Callable[[Any, Catalog], bool],
    who: Who,
    *,
    dry_run: bool,
) -> Changed:
    done = Changed()
    with store.writing(dry_run=dry_run) as unit:
        wanted: dict[int, set[int]] = {}
        known = catalog(unit)
        for row in rows:
            if row.state == TaskState.RUNNING or not chosen(row, known):
                done.leave(row.state)
            else:
                wanted.setdefault(row.item_id, set()).add(row.step_id)
        lock_tasks_of(unit, wanted)
        for item_id, steps in wanted.items():
            _redo(unit, known, item_id, steps, who.data(), done)
    return done


def redo_item(unit: Unit, item_id: int, data: str, *, reason: str) -> None:
    """All tasks of the item are to be done anew, as its content changed; `data` is the new item.

    Part of the caller's transaction, which has raised the item's generation.
    """
    row = unit.execute(
        select(_I.c.key, _I.c.generation, _P.c.name)
        .join(_P, _P.c.id == _I.c.pipeline_id)
        .where(_I.c.id == item_id)
    ).one()
    append(unit, [Entry("change", row.name, row.key, generation=row.generation, data=data)])
    lock_tasks_of(unit, [item_id])
    known = catalog(unit)
    steps = {entry.id for entry in known.of_pipeline(row.name)}
    _redo(unit, known, item_id, steps, {"reason": reason}, Changed(), raised=True)


def _said(who: Who, what: str) -> str:
    return f"{what} by {who.user}" + (f": {who.reason}" if who.reason else "")


_COLUMNS = (
    _T.c.id, _T.c.state, _T.c.item_id, _T.c.step_id, _T.c.level, _T.c.waiting_on, _T.c.attempt,
    _T.c.body_id, _T.c.reason.label("said"), _I.c.key, _I.c.generation, _I.c.params, _I.c.meta,
    _I.c.size_bytes, _S.c.name.label("step"), _P.c.name.label("pipeline"), _A.c.step_values,
    _A.c.started_us, _I.c.by_user, _T.c.host,
)  # fmt: skip


def _selected(store: "Store", selection: Selection) -> Iterable[Sequence[Any]]:
    """Yield the selected tasks in pages, after checking the selection."""
    with store.reading() as unit:
        selections.check(unit, selection)
    where = selections.where_filter(selection)
    query = selections.task_query(selection, *_COLUMNS)
    yield from selections.pages(store, query, _T.c.id, where)


def _change(
    store: "Store", selection: Selection, who: Who, chosen: _Choice, *, dry_run: bool
) -> Changed:
    """Move each selected task as `chosen` says for it, page by page."""
    done = Changed()
    for rows in _selected(store, selection):
        if rows:
            done.add(_change_page(store, rows, who, chosen, dry_run=dry_run))
    return done


@as_a_whole
def _change_page(
    store: "Store", rows: Sequence[Any], who: Who, chosen: _Choice, *, dry_run: bool
) -> Changed:
    done = Changed()
    with store.writing(dry_run=dry_run) as unit:
        known = catalog(unit)
        moves: dict[str, list[Move]] = {}
        for row in _fresh(unit, rows):
            choice = chosen(row, known)
            if choice is None:
                done.leave(row.state)
                continue
            transition, columns = choice
            if transition.name in _INTO_LANE:
                entry = known.steps[row.step_id]
                lane = lane_of(unit, entry, row.level, row.by_user, row.host)
                columns = {**columns, "lane": lane}
            done.count(transition.name, row)
            moves.setdefault(transition.name, []).append(_move(row, columns, who.data()))
        stopping = moves.pop(transitions.STOP.name, [])
        _request_cancel(unit, [one.task_id for one in stopping])
        for name, several in moves.items():
            move(unit, transitions.BY_NAME[name], several)
    return done


def _fresh(unit: Unit, rows: Sequence[Any]) -> Sequence[Any]:
    """Return the rows as they are in this transaction; they were read in an earlier one."""
    ids = [row.id for row in rows]
    lock_tasks(unit, ids)
    query = selections.task_query(Selection(), *_COLUMNS).where(_T.c.id.in_(ids))
    fresh: Sequence[Any] = unit.execute(query.order_by(_T.c.id)).fetchall()
    return fresh


def _move(row: Any, columns: Mapping[str, Any], data: Mapping[str, Any]) -> Move:
    """A move of a task by a person; the journal learns of a fresh allowance of retries."""
    counts = {name: columns[name] for name in ("tries", "lost") if name in columns}
    return Move(
        row.id, row.state, row.pipeline, row.key, row.step, row.generation, None, columns, None,
        to_json({**data, **counts}),
    )  # fmt: skip


def _request_cancel(unit: Unit, tasks: Sequence[int]) -> None:
    if tasks:
        unit.execute(
            update(_A)
            .where(_A.c.task_id.in_(tasks), _A.c.state == AttemptState.RUNNING.value)
            .values(cancel_requested=True)
        )


def _rerun_filter(selection: Selection, *, outdated: bool) -> Callable[[Any, Catalog], bool]:
    if not outdated:
        return lambda row, _known: row.state != TaskState.BLOCKED or bool(selection.steps)
    return lambda row, known: (
        row.state == TaskState.DONE and row.body_id != known.steps[row.step_id].body_id
    )


def _redo(
    unit: Unit,
    known: Catalog,
    item_id: int,
    steps: set[int],
    data: Mapping[str, Any],
    done: Changed,
    *,
    raised: bool = False,
) -> None:
    """Set these steps of an item, and all that follow from them, back to the beginning.

    The item's generation goes up with it, unless the caller has `raised` it.
    """
    query = selections.task_query(Selection(), *_COLUMNS).where(_T.c.item_id == item_id)
    rows = {row.step_id: row for row in unit.execute(query).fetchall()}
    affected = _affected(known, steps, temporary.removed_steps(unit, item_id))
    moves: dict[str, list[Move]] = {}
    for step, row in rows.items():
        if step not in affected:
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
    if moves and not raised:
        raise_generation = _I.c.generation + 1
        unit.execute(update(_I).where(_I.c.id == item_id).values(generation=raise_generation))
        moves = {
            name: [one._replace(generation=one.generation + 1) for one in several]
            for name, several in moves.items()
        }
    for name, several in moves.items():
        move(unit, transitions.BY_NAME[name], several)


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
        "waiting_on": waiting_on, "tries": 0, "lost": 0, "level": 0, "not_before_us": None,
        "body_id": None, "worker_id": None, "reason": None,
    }  # fmt: skip
    entry = known.steps[row.step_id]
    body = _hash_of(unit, row.body_id) if row.state == TaskState.DONE else None
    if row.state == TaskState.RUNNING:
        # Its slots stay with the attempt until its worker says that the process is gone.
        close_attempts(unit, [row.attempt], AttemptState.CANCELLED, FENCED_OFF)
        transition = transitions.REVOKE if waiting_on else transitions.REVOKE_READY
        data = {
            "state": AttemptState.CANCELLED.word, "reason": FENCED_OFF, "cause": FENCED_OFF,
            "started_us": row.started_us, "ended_us": unit.now_us,
        }  # fmt: skip
        one = _move(row, fresh, data)._replace(attempt=row.attempt)
    elif row.state == TaskState.BLOCKED:
        unit.execute(update(_T).where(_T.c.id == row.id).values(waiting_on=waiting_on))
        return
    else:
        transition = transitions.BLOCK if waiting_on else transitions.RERUN
        one = _move(row, fresh, data)._replace(body=body)
    if not waiting_on:
        lane = lane_of(unit, entry, 0, row.by_user, fresh.get("host", row.host))
        one = one._replace(columns={**fresh, "lane": lane})
    moves.setdefault(transition.name, []).append(one)
    done.count(transition.name, row)


def _hash_of(unit: Unit, body_id: int | None) -> str | None:
    table = tables.body
    found: str | None = unit.execute(select(table.c.hash).where(table.c.id == body_id)).scalar()
    return found
