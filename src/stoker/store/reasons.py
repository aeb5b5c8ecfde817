"""Why a task is not running: the one reason that has to go first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select

from stoker.errors import NotFound
from stoker.model.selection import Selection
from stoker.model.states import AttemptState, TaskState, WorkerState
from stoker.spec.problems import suggest
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.catalog import Catalog, StepEntry, catalog
from stoker.store.moments import moment
from stoker.store.rows import Why
from stoker.store.story import find_item
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.model.pipeline import Step
    from stoker.store.connect import Store

_T, _I, _S, _A, _W, _L, _SLOT = (
    tables.task, tables.item, tables.step, tables.attempt, tables.worker, tables.lane, tables.slot,
)  # fmt: skip
_URGENT = (
    TaskState.RUNNING, TaskState.FAILED, TaskState.HELD, TaskState.CANCELLED, TaskState.READY,
    TaskState.BLOCKED,
)  # fmt: skip


class _Said(NamedTuple):
    """A reason: one word for programs, a sentence for people, and what to do."""

    kind: str
    text: str
    do: str | None = None


def why(store: "Store", key: str, step: str | None = None, *, pipeline: str | None = None) -> Why:
    """Return why the item's task of that step, or its first one that is not over, does not run."""
    with store.reading() as unit:
        item = find_item(unit, key, pipeline=pipeline)
        known = catalog(unit)
        rows = {row.step: row for row in _tasks(unit, item.id)}
        if step is not None and step not in rows:
            hint = suggest(step, rows) or "it has no tasks"
            raise NotFound(f"`{item.key}` has no step `{step}`; {hint}")
        if not rows:
            text = f"it is quarantined: {item.reason}" if item.reason else "it has no tasks"
            said = _Said("quarantined", text)
            return _why(item, "", "quarantined", said)
        row = rows[step] if step is not None else _first(list(rows.values()))
        said = _Reasons(unit, known, rows).of(row)
        return _why(item, row.step, TaskState(row.state).word, said)


def _why(item: Any, step: str, state: str, said: _Said) -> Why:
    return Why(
        pipeline=item.pipeline,
        item=item.key,
        step=step,
        state=state,
        kind=said.kind,
        text=said.text,
        do=said.do,
    )


def _tasks(unit: Unit, item_id: int) -> Sequence[Any]:
    query = selections.task_query(
        Selection(), _T.c.id, _T.c.state, _T.c.step_id, _T.c.level, _T.c.okey, _T.c.lane,
        _T.c.not_before_us, _T.c.reason, _S.c.name.label("step"), _A.c.reason.label("ended"),
        _A.c.cause, _A.c.state.label("attempt_state"), _A.c.claimed_us, _A.c.worker_id,
    ).where(_T.c.item_id == item_id)  # fmt: skip
    rows: Sequence[Any] = unit.execute(query.order_by(_S.c.position)).fetchall()
    return rows


def _first(rows: Sequence[Any]) -> Any:
    """Return the task that matters most: what runs, then what stopped the item, then the next."""
    for state in _URGENT:
        for row in rows:
            if row.state == state:
                return row
    return rows[-1]


class _Reasons:
    """The reasons for the tasks of one item, as of one transaction."""

    def __init__(self, unit: Unit, known: Catalog, rows: dict[str, Any]) -> None:
        self._unit = unit
        self._known = known
        self._rows = rows

    def of(self, row: Any) -> _Said:  # noqa: PLR0911 - one for each state
        """Return why this task does not run."""
        match TaskState(row.state):
            case TaskState.DONE:
                return _Said("done", "it is done", "`stoker rerun` does it anew")
            case TaskState.SKIPPED:
                return _Said("skipped", "it was skipped: its condition is false for this item")
            case TaskState.CANCELLED:
                text = row.reason or row.ended or "cancelled"
                return _Said("cancelled", f"it was {text}", "`stoker rerun` does it after all")
            case TaskState.FAILED:
                return self._failed(row)
            case TaskState.HELD:
                return _Said("held", f"it is {row.reason or 'held'}", "`stoker release` lets it go")
            case TaskState.RUNNING:
                return self._running(row)
            case TaskState.BLOCKED:
                return self._blocked(row)
            case TaskState.READY:
                return self._ready(row)

    def _failed(self, row: Any) -> _Said:
        entry = self._known.steps[row.step_id]
        causes = entry.spec.causes if entry.spec else ()
        do = next((one.do for one in causes if one.say == row.cause and one.do), None)
        text = (
            f"it failed and has no retries left: {row.ended or row.cause or 'no reason recorded'}"
        )
        return _Said("failed", text, do or "put the cause right, then `stoker retry`")

    def _running(self, row: Any) -> _Said:
        worker = self._unit.execute(
            select(_W.c.name, _W.c.host, _W.c.trouble).where(_W.c.id == row.worker_id)
        ).one_or_none()
        where = f" by `{worker.name}` on `{worker.host}`" if worker else ""
        since = moment(row.claimed_us)
        at = since.astimezone().strftime("%H:%M:%S") if since else "just now"
        waits = f"; {worker.trouble}" if worker and worker.trouble else ""
        return _Said("running", f"it is running{where} since {at}{waits}")

    def _blocked(self, row: Any) -> _Said:
        """The predecessor that is furthest back and stands still, and why it does."""
        entry = self._known.steps[row.step_id]
        before = [
            self._rows[self._known.steps[step].name]
            for step in entry.predecessors
            if self._known.steps[step].name in self._rows
        ]
        open_ = [one for one in before if not TaskState(one.state).is_satisfied]
        if not open_:
            return _Said("blocked", "its predecessors are over; it becomes ready in a moment")
        found = _first(open_)
        said = self.of(found)
        if found.state == TaskState.BLOCKED:
            return said
        state = TaskState(found.state).word
        return _Said(
            "predecessor", f"step `{found.step}` before it is {state}: {said.text}", said.do
        )

    # ---------------------------------------------------------------------------------- ready tasks

    def _ready(self, row: Any) -> _Said:
        entry = self._known.steps[row.step_id]
        if row.not_before_us is not None and row.not_before_us > self._unit.now_us:
            at = moment(row.not_before_us).astimezone().strftime("%Y-%m-%d %H:%M:%S")
            last = f" after: {row.ended}" if row.ended else ""
            return _Said("back_off", f"it waits until {at} for its next try{last}")
        workers = self._workers()
        if not workers:
            return _Said(
                "no_worker", "no worker is alive", "start one: `stoker run`, or `stoker work`"
            )
        return (
            self._unfit(row, entry, workers)
            or _in_trouble(workers)
            or self._pool_full(entry)
            or self._capacity(row, workers)
        )

    def _workers(self) -> Sequence[Any]:
        query = select(_W).where(
            _W.c.state == WorkerState.ALIVE.value, _W.c.lease_until_us >= self._unit.now_us
        )
        rows: Sequence[Any] = self._unit.execute(query).fetchall()
        return rows

    def _unfit(self, row: Any, entry: StepEntry, workers: Sequence[Any]) -> _Said | None:
        """What no worker that is alive has enough of."""
        lane = self._unit.execute(
            select(_L.c.cpus, _L.c.memory_bytes).where(_L.c.id == entry.pattern_at(row.level))
        ).one_or_none()
        if lane is None:
            return None
        most_cpus = max(max(one.cpus, one.slots) for one in workers)
        if lane.cpus > most_cpus:
            text = f"it needs {lane.cpus} cpus, and no worker has more than {most_cpus}"
            return _Said("no_worker_fits", text, "start a worker on a bigger host, or lower `cpus`")
        most_bytes = max(one.memory_bytes for one in workers)
        if lane.memory_bytes is not None and lane.memory_bytes > most_bytes:
            need, most = lane.memory_bytes / 2**30, most_bytes / 2**30
            text = f"it needs {need:.1f}G of memory, and no worker's host has more than {most:.1f}G"
            return _Said(
                "no_worker_fits", text, "start a worker on a bigger host, or lower `memory`"
            )
        return None

    def _pool_full(self, entry: StepEntry) -> _Said | None:
        """The first pool that has too few free slots, and who holds them."""
        step: Step | None = entry.spec
        for pool, n in sorted(step.pools.items()) if step else ():
            slots = self._unit.execute(
                select(_SLOT.c.attempt, _I.c.key, _S.c.name.label("step"))
                .select_from(
                    _SLOT.outerjoin(_A, _A.c.id == _SLOT.c.attempt)
                    .outerjoin(_T, _T.c.id == _A.c.task_id)
                    .outerjoin(_I, _I.c.id == _T.c.item_id)
                    .outerjoin(_S, _S.c.id == _T.c.step_id)
                )
                .where(_SLOT.c.pool == pool, ~_SLOT.c.is_retired)
            ).fetchall()
            if len(slots) < n:
                text = f"it needs {n} of pool `{pool}`, which has {len(slots)} slots"
                return _Said("no_worker_fits", text, f"raise `[pools] {pool}`, or what it needs")
            held = [slot for slot in slots if slot.attempt is not None]
            if len(slots) - len(held) < n:
                holders = ", ".join(f"`{one.key}` ({one.step})" for one in held[:3])
                more = f" and {len(held) - 3} more" if len(held) > 3 else ""
                text = f"pool `{pool}` is full: {len(held)} of {len(slots)} held by {holders}{more}"
                return _Said("pool_full", text, "wait, or `stoker pool` shows who holds what")
        return None

    def _capacity(self, row: Any, workers: Sequence[Any]) -> _Said:
        running = self._unit.execute(
            select(func.count()).where(_A.c.state == AttemptState.RUNNING.value)
        ).scalar_one()
        ahead = self._unit.execute(
            select(func.count()).where(_T.c.lane.is_not(None), _T.c.okey < row.okey)
        ).scalar_one()
        slots = sum(one.slots for one in workers)
        if running < slots:
            return _Said("next", "it is ready, and a worker with room takes it within seconds")
        text = f"all {slots} slots are busy with {running} attempts"
        return _Said("capacity", text + (f", and {ahead:,} tasks come before it" if ahead else ""))


def _in_trouble(workers: Sequence[Any]) -> _Said | None:
    """What keeps every worker that is alive from claiming."""
    if not all(one.trouble for one in workers):
        return None
    first = workers[0]
    text = f"worker `{first.name}` on `{first.host}` claims nothing: {first.trouble}"
    return _Said("disk_full", text, "it goes on by itself when there is room")
