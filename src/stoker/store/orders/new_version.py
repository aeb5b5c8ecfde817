"""What a new version of a pipeline does to the tasks of its items, some items at a time.

Setting the version marks each step whose tasks have to follow it: a row of `unsettled_step`, in the same
transaction. Nobody claims tasks of a marked step. `settle` then goes through the items, in the order
of their keys, in transactions of a thousand; the row remembers how far. A task is brought to what
the current version says, whatever it was before, so that any process may go on where another stopped,
and a further version just begins again.
"""

import math
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, delete, func, insert, literal, select, update

from stoker.failpoints import hit
from stoker.model import transitions
from stoker.model.pipeline import Pipeline
from stoker.model.states import ItemState, TaskState
from stoker.store import tables
from stoker.store.apply import Move, move_all
from stoker.store.catalog import catalog
from stoker.store.forecasts.estimates import book
from stoker.store.journal import Entry, append
from stoker.store.lanes import lane_of
from stoker.store.steps import StepEntry
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

REMOVED = "its step was removed from the pipeline"
BATCH = 1_000  # items in a transaction

_I, _T, _S, _U = tables.item, tables.task, tables.step, tables.unsettled_step
_SATISFIED = tuple(state.value for state in TaskState if state.is_satisfied)
_TO_COUNT = (  # they wait, or may have to
    TaskState.BLOCKED, TaskState.READY, TaskState.HELD, TaskState.RUNNING, TaskState.FAILED,
)  # fmt: skip
_TO_CANCEL = tuple(state.value for state in transitions.CANCEL.sources)


class _NewTask(NamedTuple):
    """A row of `task` for a step that an item had no task of, in the order of the table's columns."""

    item_id: int
    step_id: int
    state: int
    lane: int | None
    okey: int
    waiting_on: int
    generation: int
    number: int = 0
    tries: int = 0
    lost: int = 0
    cut_off: int = 0
    level: int = 0
    expected_ms: int | None = None


class TaskChanges:
    """Marks the steps whose tasks have to follow the version that the caller's transaction sets.

    `after` has the predecessors of each step in the version before, by name; it is empty for the
    first version, when there are no items yet. `handed_over` are steps that changed to another site.
    `created` and `cancelled` count by step the tasks that
    will be.
    """

    def __init__(
        self,
        unit: Unit,
        pipeline: Pipeline,
        after: Mapping[str, set[str]],
        handed_over: AbstractSet[str] = frozenset(),
    ) -> None:
        self.unit = unit
        self.pipeline = pipeline
        self.after = after
        self.handed_over = handed_over
        self.created: dict[str, int] = {}
        self.cancelled: dict[str, int] = {}

    def mark(self) -> None:
        """Mark them; one that is marked already begins again."""
        if not self.after:
            return
        known = catalog(self.unit)
        for entry in known.steps.values():
            if entry.pipeline == self.pipeline.name and self._has_to_follow(entry):
                self.unit.execute(delete(_U).where(_U.c.step_id == entry.id))
                self.unit.execute(insert(_U).values(step_id=entry.id))

    def _has_to_follow(self, entry: StepEntry) -> bool:
        after = self.after.get(entry.name)
        if entry.spec is None:
            if after is not None:
                self._count(self.cancelled, entry, _T.c.state.in_(_TO_CANCEL))
                return True
        elif after is None:
            self._count_new(entry)
            return True
        elif (
            after != set(entry.spec.after)
            or entry.name in self.handed_over
            or self._lacks_outputs(entry)
        ):
            return True
        marked = select(_U.c.step_id).where(_U.c.step_id == entry.id)
        return self.unit.execute(marked).first() is not None

    def _count_new(self, entry: StepEntry) -> None:
        """Count the items without a task of this step, and tasks that its removal cancelled."""
        items = and_(
            _I.c.pipeline_id == entry.pipeline_id, _I.c.state != ItemState.QUARANTINED.value
        )
        n_items = self.unit.execute(select(func.count()).select_from(_I).where(items)).scalar_one()
        n_tasks = self._count_tasks(entry)
        cancelled = and_(_T.c.state == TaskState.CANCELLED.value, _T.c.reason == REMOVED)
        if n := n_items - n_tasks + (self._count_tasks(entry, cancelled) if n_tasks else 0):
            self.created[entry.name] = n

    def _count(self, counts: dict[str, int], entry: StepEntry, chosen: Any) -> None:
        if n := self._count_tasks(entry, chosen):
            counts[entry.name] = n

    def _count_tasks(self, entry: StepEntry, *chosen: Any) -> int:
        query = select(func.count()).select_from(_T).where(_T.c.step_id == entry.id, *chosen)
        return int(self.unit.execute(query).scalar_one())

    def _lacks_outputs(self, entry: StepEntry) -> bool:
        """Whether tasks are blocked as an output was lacking: they may find what they read now."""
        is_told = and_(_T.c.state == TaskState.BLOCKED.value, _T.c.reason.is_not(None))
        query = select(_T.c.id).where(_T.c.step_id == entry.id, is_told).limit(1)
        return self.unit.execute(query).first() is not None


def settle(store: "Store", *, limit_s: float = math.inf) -> bool:
    """Every task follows the current version of its pipeline; False if `limit_s` passed before.

    Cut short, it has brought some items up, and the next call goes on. Called by who sets a version,
    and by every janitor.
    """
    with store.reading() as unit:
        if unit.execute(select(_U.c.step_id).limit(1)).first() is None:
            return True
    until_s = time.monotonic() + limit_s
    while not _settle_some(store):
        hit("settled_some")
        if time.monotonic() >= until_s:
            return False
    return True


@as_a_whole
def _settle_some(store: "Store") -> bool:
    """The next items have followed, of the first step that is marked; True if there is none.

    Steps go in the order of the pipeline: a task counts predecessors, which must be there. Nobody
    else writes meanwhile, so that no predecessor ends between being counted and being waited for.
    """
    with store.writing(alone=True, durable=False) as unit:  # the mark is undone with it
        query = select(_U).join(_S, _S.c.id == _U.c.step_id)
        marked = unit.execute(query.order_by(_S.c.position, _S.c.id).limit(1)).one_or_none()
        if marked is None:
            return True
        entry = catalog(unit).steps[marked.step_id]
        rows = unit.execute(_items_after(entry, marked.key)).fetchall()
        _Following(unit, entry).follow(rows)
        own = _U.c.step_id == entry.id
        if len(rows) < BATCH:
            unit.execute(delete(_U).where(own))
        else:
            unit.execute(update(_U).where(own).values(key=rows[-1].key))
    return False


def _items_after(entry: StepEntry, key: str | None) -> Any:
    """The pipeline's next items, each with its task of this step where it has one."""
    of_step = and_(_T.c.item_id == _I.c.id, _T.c.step_id == entry.id)
    query = (
        select(
            _I.c.id.label("item_id"), _I.c.key, _I.c.generation, _I.c.by_user, _I.c.priority,
            _I.c.size_bytes, _I.c.reason.label("quarantined"), _T.c.id, _T.c.state,
            _T.c.waiting_on, _T.c.level, _T.c.reason, _T.c.host, _T.c.lane, _T.c.not_before_us,
            _unsatisfied(entry).label("unsatisfied"),
        )
        .select_from(_I.outerjoin(_T, of_step))
        .where(_I.c.pipeline_id == entry.pipeline_id)
        .order_by(_I.c.key)
        .limit(BATCH)
    )  # fmt: skip
    return query if key is None else query.where(_I.c.key > key)


def _unsatisfied(entry: StepEntry) -> Any:
    """The number of an item's predecessors of this step that are neither done nor skipped."""
    if not entry.predecessors:
        return literal(0)
    before = _T.alias("before")
    return (
        select(func.count())
        .select_from(before)
        .where(
            before.c.item_id == _I.c.id,
            before.c.step_id.in_(entry.predecessors),
            before.c.state.not_in(_SATISFIED),
        )
        .scalar_subquery()
    )


class _Following:
    """What becomes of the tasks that one step has of some items, within one transaction."""

    def __init__(self, unit: Unit, entry: StepEntry) -> None:
        self._unit = unit
        self._entry = entry
        self._moves: dict[str, list[Move]] = {}
        self._new: list[_NewTask] = []
        self._counts: list[tuple[int, int]] = []
        self._entries: list[Entry] = []

    def follow(self, rows: Sequence[Any]) -> None:
        """Bring each item's task to what the current version says."""
        for row in rows:
            if self._entry.is_foreign and row.id is not None:
                self._leave(row)
            elif self._entry.spec is None:
                self._remove(row)
            elif row.id is not None:
                self._bring_up(row)
            elif row.quarantined is None:
                self._create(row)
        if self._new:
            self._unit.insert(_T, _NewTask._fields, self._new)
        for task_id, n in self._counts:
            self._unit.execute(update(_T).where(_T.c.id == task_id).values(waiting_on=n))
        batch = [(transitions.BY_NAME[name], moves) for name, moves in self._moves.items()]
        move_all(self._unit, batch)
        append(self._unit, self._entries)

    def _leave(self, row: Any) -> None:
        """Another site decides on the task: nobody here claims it any more."""
        if row.lane is not None:
            self._unit.execute(update(_T).where(_T.c.id == row.id).values(lane=None))

    def _remove(self, row: Any) -> None:
        """Cancel what a removed step still has to do; what runs of it may end."""
        if row.id is None or row.state in _SATISFIED:
            return
        if row.state in _TO_CANCEL:
            self._move(transitions.CANCEL, row, {"reason": REMOVED})
        else:
            self._note("remove_task", row, n=0)  # the item's state no longer depends on it

    def _bring_up(self, row: Any) -> None:
        state, n = TaskState(row.state), row.unsatisfied
        if state is TaskState.CANCELLED and row.reason == REMOVED:  # the step came back
            columns = {"reason": None, "waiting_on": n}
            self._move(transitions.BLOCK if n else transitions.RERUN, row, columns)
        elif state is TaskState.BLOCKED and n == 0:
            self._move(transitions.UNBLOCK, row, {"waiting_on": 0, "reason": None})
        elif state is TaskState.READY and n > 0:
            self._move(transitions.BLOCK, row, {"waiting_on": n})
        elif state in _TO_COUNT and n != row.waiting_on:
            self._counts.append((row.id, n))
        if state is TaskState.READY and n == 0 and row.not_before_us is None:
            lane = lane_of(self._unit, self._entry, row.level, row.by_user, row.host)
            if lane != row.lane:  # its step runs at another site than before
                self._unit.execute(update(_T).where(_T.c.id == row.id).values(lane=lane))

    def _create(self, row: Any) -> None:
        entry, times = self._entry, book(self._unit)
        state = TaskState.BLOCKED if row.unsatisfied else TaskState.READY
        self._new.append(
            _NewTask(
                item_id=row.item_id,
                step_id=entry.id,
                state=state.value,
                lane=None if row.unsatisfied else lane_of(self._unit, entry, 0, row.by_user),
                okey=times.order_key(entry.id, row.size_bytes, row.priority),
                waiting_on=row.unsatisfied,
                generation=row.generation,
                expected_ms=times.expected_ms(entry.id, row.size_bytes),
            )
        )
        self._note("add_task", row, to_state=state.value)

    def _move(self, transition: transitions.Transition, row: Any, columns: dict[str, Any]) -> None:
        if transition.target is TaskState.READY:
            lane = lane_of(self._unit, self._entry, row.level, row.by_user, row.host)
            columns = {**columns, "lane": lane}
        one = Move(
            row.id, row.state, self._entry.pipeline, row.key, self._entry.name, row.generation,
            columns=columns,
        )  # fmt: skip
        self._moves.setdefault(transition.name, []).append(one)

    def _note(self, event: str, row: Any, **more: Any) -> None:
        step, pipeline = self._entry.name, self._entry.pipeline
        entry = Entry(event, pipeline, row.key, step, generation=row.generation, **more)
        self._entries.append(entry)
