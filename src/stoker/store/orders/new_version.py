"""What a new version of a pipeline does to the tasks of its items."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, and_, case, func, insert, literal, select, update

from stoker.model import transitions
from stoker.model.pipeline import Pipeline
from stoker.model.states import TaskState
from stoker.store import tables
from stoker.store.apply import Move, move
from stoker.store.catalog import catalog
from stoker.store.forecasts.estimates import book
from stoker.store.forecasts.sql_curves import milliseconds, numbers
from stoker.store.journal import Entry, append
from stoker.store.lanes import lane_of
from stoker.store.steps import StepEntry
from stoker.store.unit import Unit

REMOVED = "its step was removed from the pipeline"
ORDER_STEP = literal(1 << 40, BigInteger())  # how far a priority is from the next in `okey`

_SATISFIED = tuple(state.value for state in TaskState if state.is_satisfied)
_WAITING = (TaskState.BLOCKED.value, TaskState.READY.value, TaskState.HELD.value)


class TaskChanges:
    """Brings the tasks to what the current version says; part of the caller's transaction.

    `after` has the predecessors of each step in the version before, by name; it is empty for the
    first version, when there are no items yet. `created` and
    `cancelled` count tasks by step.
    """

    def __init__(self, unit: Unit, pipeline: Pipeline, after: Mapping[str, set[str]]) -> None:
        self.unit = unit
        self.pipeline = pipeline
        self.after = after
        self.created: dict[str, int] = {}
        self.cancelled: dict[str, int] = {}

    def run(self) -> None:
        """Cancel what is left of removed steps, create what new ones need, recount the rest."""
        known = catalog(self.unit)
        mine = [entry for entry in known.steps.values() if entry.pipeline == self.pipeline.name]
        for entry in mine:
            if entry.spec is None and entry.name in self.after:
                self._cancel_open(entry)
        for entry in known.of_pipeline(self.pipeline.name):
            after = self.after.get(entry.name)
            if after is None and self.after:
                self._create(entry)
                self._reopen(entry)
            if self.after and after != set(self.pipeline.step(entry.name).after):
                self._recount(entry)
            elif self.after:
                self._look_again(entry)

    def _cancel_open(self, entry: StepEntry) -> None:
        """Cancel what a removed step still has to do; what runs of it may end."""
        states = tuple(state.value for state in transitions.CANCEL.sources)
        columns = {"reason": REMOVED}
        moves = [_move(entry, row, columns) for row in self._tasks_in(entry, states)]
        move(self.unit, transitions.CANCEL, moves)
        if moves:
            self.cancelled[entry.name] = len(moves)
        append(self.unit, [Entry("remove_step", entry.pipeline, step=entry.name, n=0)])

    def _reopen(self, entry: StepEntry) -> None:
        """Where a removed step came back, what its removal cancelled is to be done after all."""
        moves: dict[str, list[Move]] = {}
        for row in self._tasks_in(entry, (TaskState.CANCELLED.value,)):
            if row.reason != REMOVED:
                continue
            columns: dict[str, Any] = {"reason": None, "waiting_on": row.unsatisfied}
            transition = transitions.BLOCK if row.unsatisfied else transitions.RERUN
            if not row.unsatisfied:
                columns["lane"] = self._lane(entry, row)
            moves.setdefault(transition.name, []).append(_move(entry, row, columns))
        for name, several in moves.items():
            move(self.unit, transitions.BY_NAME[name], several)
            self.created[entry.name] = self.created.get(entry.name, 0) + len(several)

    def _tasks_in(
        self, entry: StepEntry, states: tuple[int, ...], *, is_told: bool = False
    ) -> Sequence[Any]:
        """Return the step's tasks in these states; only those with a reason if it `is_told`."""
        task, item = tables.task, tables.item
        query = (
            select(
                task.c.id, task.c.state, task.c.waiting_on, task.c.level, task.c.reason,
                task.c.host, item.c.key, item.c.generation, item.c.by_user,
                _unsatisfied(entry, item.c.id).label("unsatisfied"),
            )
            .select_from(task.join(item, item.c.id == task.c.item_id))
            .where(task.c.step_id == entry.id, task.c.state.in_(states))
        )  # fmt: skip
        if is_told:
            query = query.where(task.c.reason.is_not(None))
        rows: Sequence[Any] = self.unit.execute(query).fetchall()
        return rows

    def _lane(self, entry: StepEntry, row: Any) -> int | None:
        return lane_of(self.unit, entry, row.level, row.by_user, row.host)

    def _lanes_of_users(self, entry: StepEntry) -> Any:
        """The lane of an item's task, by who pushed it: of everybody who pushed one, a lane is there."""
        item, lane = tables.item, tables.lane
        users = select(item.c.by_user).where(item.c.pipeline_id == entry.pipeline_id).distinct()
        for user in self.unit.execute(users).scalars().all():
            lane_of(self.unit, entry, 0, user)
        is_own = and_(lane.c.step_id == entry.id, lane.c.level == 0, lane.c.host == "")
        return select(lane.c.id).where(is_own, lane.c.share == item.c.by_user).scalar_subquery()

    def _create(self, entry: StepEntry) -> None:
        """Insert a task of this step for every item that has none."""
        task, item = tables.task, tables.item
        waiting = _unsatisfied(entry, item.c.id)
        missing = ~(
            select(task.c.id)
            .where(task.c.item_id == item.c.id, task.c.step_id == entry.id)
            .exists()
        )
        chosen = (
            select(
                item.c.id,
                item.c.priority,
                item.c.size_bytes,
                waiting.label("waiting"),
                self._lanes_of_users(entry).label("lane"),
            )
            .where(item.c.pipeline_id == entry.pipeline_id, item.c.reason.is_(None), missing)
            .subquery()
        )
        is_ready = chosen.c.waiting == 0
        query = select(
            chosen.c.id,
            literal(entry.id),
            case((is_ready, TaskState.READY.value), else_=TaskState.BLOCKED.value),
            case((is_ready, chosen.c.lane), else_=None),
            -chosen.c.priority * ORDER_STEP - milliseconds(chosen.c.size_bytes, "rank"),
            chosen.c.waiting,
            *(literal(0) for _ in range(5)),
        )
        columns = ["item_id", "step_id", "state", "lane", "okey", "waiting_on"]
        columns += ["number", "tries", "lost", "cut_off", "level"]
        counts = self._count_tasks(entry)
        rank = numbers(book(self.unit).ranks[entry.id], "rank")
        self.unit.execute(insert(task).from_select(columns, query), rank)
        entries = [Entry("add_tasks", entry.pipeline, step=entry.name, n=0)]
        for state, n in self._count_tasks(entry).items():
            fresh = n - counts.get(state, 0)
            if fresh:
                entries.append(
                    Entry("add_tasks", entry.pipeline, step=entry.name, to_state=state, n=fresh)
                )
                self.created[entry.name] = self.created.get(entry.name, 0) + fresh
        append(self.unit, entries)

    def _count_tasks(self, entry: StepEntry) -> dict[int, int]:
        task = tables.task
        query = select(task.c.state, func.count()).where(task.c.step_id == entry.id)
        rows = self.unit.execute(query.group_by(task.c.state)).fetchall()
        return dict(tuple(row) for row in rows)

    def _look_again(self, entry: StepEntry) -> None:
        """Tasks that were blocked as an output was lacking may find what they read now."""
        blocked = self._tasks_in(entry, (TaskState.BLOCKED.value,), is_told=True)
        columns = {"waiting_on": 0, "reason": None}
        moves = [
            _move(entry, row, {**columns, "lane": self._lane(entry, row)})
            for row in blocked
            if row.unsatisfied == 0
        ]
        move(self.unit, transitions.UNBLOCK, moves)

    def _recount(self, entry: StepEntry) -> None:
        """Where predecessors were added or removed, tasks wait for what they now depend on."""
        task = tables.task
        moves: dict[str, list[Move]] = {}
        for row in self._tasks_in(entry, _WAITING):
            state, n = TaskState(row.state), row.unsatisfied
            if state is TaskState.BLOCKED and n == 0:
                columns = {"waiting_on": 0, "lane": self._lane(entry, row)}
                moves.setdefault("unblock", []).append(_move(entry, row, columns))
            elif state is TaskState.READY and n > 0:
                moves.setdefault("block", []).append(_move(entry, row, {"waiting_on": n}))
            elif n != row.waiting_on:
                self.unit.execute(update(task).where(task.c.id == row.id).values(waiting_on=n))
        for name, rows in moves.items():
            move(self.unit, transitions.BY_NAME[name], rows)


def _move(entry: StepEntry, row: Any, columns: Mapping[str, Any]) -> Move:
    return Move(
        row.id, row.state, entry.pipeline, row.key, entry.name, row.generation, columns=columns
    )


def _unsatisfied(entry: StepEntry, item_id: Any) -> Any:
    """The number of an item's predecessors of this step that are neither done nor skipped."""
    if not entry.predecessors:
        return literal(0)
    before = tables.task.alias("before")
    return (
        select(func.count())
        .select_from(before)
        .where(
            before.c.item_id == item_id,
            before.c.step_id.in_(entry.predecessors),
            before.c.state.not_in(_SATISFIED),
        )
        .scalar_subquery()
    )
