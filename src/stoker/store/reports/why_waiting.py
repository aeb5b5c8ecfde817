"""Why a task is not running: the one reason that has to go first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from stoker.errors import NotFound
from stoker.model.advice import advice
from stoker.model.outpost import is_outpost, outpost_of
from stoker.model.selection import Selection
from stoker.model.states import TaskState
from stoker.spec.problems import suggest
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.groups.listing import find_group, in_words
from stoker.store.reports.finding import find_item
from stoker.store.reports.why_outpost import while_out
from stoker.store.steps import Catalog
from stoker.store.story_rows import Said, Why
from stoker.store.times import moment
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _I, _S, _A, _W, _L, _SLOT = (
    tables.task, tables.item, tables.step, tables.attempt, tables.worker, tables.lane, tables.slot,
)  # fmt: skip
_URGENT = (
    TaskState.RUNNING, TaskState.FAILED, TaskState.HELD, TaskState.CANCELLED, TaskState.READY,
    TaskState.BLOCKED,
)  # fmt: skip


def why(store: "Store", key: str, step: str | None = None, *, pipeline: str | None = None) -> Why:
    """Return why the item's task of that step, or its first one that is not over, does not run."""
    with store.reading() as unit:
        try:
            item = find_item(unit, key, pipeline=pipeline)
        except NotFound:
            if step is None and (of_group := _why_group(unit, key, pipeline)):
                return of_group
            raise
        known = catalog(unit)
        rows = {row.step: row for row in _tasks(unit, item.id)}
        if step is not None and step not in rows:
            hint = suggest(step, rows) or "it has no tasks"
            raise NotFound(f"`{item.key}` has no step `{step}`; {hint}")
        if not rows:
            text = f"it is quarantined: {item.reason}" if item.reason else "it has no tasks"
            said = Said("quarantined", text)
            return _why(item, "", "quarantined", said)
        row = rows[step] if step is not None else _first(list(rows.values()))
        if row.state == TaskState.DONE.value and step is None:
            of_group = _why_group(unit, item.key, item.pipeline)
            if of_group is not None and of_group.state == "waiting":
                return of_group
        said = _Reasons(unit, known, rows).of(row)
        return _why(item, row.step, TaskState(row.state).word, said)


def _why_group(unit: Unit, key: str, pipeline: str | None) -> Why | None:
    """Return why a group is not complete, or not as it was any more; None if there is none."""
    try:
        row, group = find_group(unit, key, pipeline=pipeline)
    except NotFound:
        return None
    state = "complete" if row.is_complete else "waiting"
    kind = "trouble" if row.trouble else state
    do = None
    if not row.is_complete:
        do = "`stoker group show` lists its members; `stoker group close` completes it as it is"
    text = in_words(unit, row, group)
    return Why(
        pipeline=row.pipeline, item=row.key, step="", state=state, kind=kind, text=text, do=do
    )


def _why(item: Any, step: str, state: str, said: Said) -> Why:
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
        _T.c.not_before_us, _T.c.host, _T.c.reason, _I.c.size_bytes, _S.c.name.label("step"), _A.c.reason.label("ended"),
        _A.c.cause, _A.c.state.label("attempt_state"), _A.c.claimed_us, _A.c.publishing_us, _A.c.worker_id,
        _A.c.id.label("attempt"), _A.c.node,
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

    def of(self, row: Any) -> Said:  # noqa: PLR0911 - one for each state
        """Return why this task does not run."""
        match TaskState(row.state):
            case TaskState.DONE:
                return Said("done", "it is done", "`stoker rerun` does it again")
            case TaskState.SKIPPED:
                return Said("skipped", "it was skipped: its condition is false for this item")
            case TaskState.CANCELLED:
                text = row.reason or row.ended or "cancelled"
                return Said("cancelled", f"it was {text}", "`stoker rerun` does it after all")
            case TaskState.FAILED:
                return self._failed(row)
            case TaskState.HELD:
                return Said(
                    "held", f"it is {row.reason or 'held'}", "`stoker release` lets it go on"
                )
            case TaskState.RUNNING:
                return self._running(row)
            case TaskState.BLOCKED:
                return self._blocked(row)
            case TaskState.READY:
                return self._ready(row)

    def _failed(self, row: Any) -> Said:
        entry = self._known.steps[row.step_id]
        causes = entry.spec.causes if entry.spec else ()
        do = next((one.do for one in causes if one.say == row.cause and one.do), None)
        text = (
            f"it failed and has no retries left: {row.ended or row.cause or 'no reason recorded'}"
        )
        known = advice(row.cause or "", row.ended)
        return Said("failed", text, do or f"{known or 'put the cause right'}; then `stoker retry`")

    def _running(self, row: Any) -> Said:
        worker = self._unit.execute(
            select(_W.c.name, _W.c.host, _W.c.trouble).where(_W.c.id == row.worker_id)
        ).one_or_none()
        where = f" by `{worker.name}` on `{worker.host}`" if worker else ""
        is_published = row.publishing_us is not None
        what = "its outputs are being published" if is_published else "it is running"
        since = moment(row.publishing_us or row.claimed_us)
        at = since.astimezone().strftime("%H:%M:%S") if since else "just now"
        if worker and is_outpost(worker.host):
            return while_out(self._unit, outpost_of(worker.host), bytes(row.attempt), at, row.node)
        waits = f"; {worker.trouble}" if worker and worker.trouble else ""
        return Said("running", f"{what}{where} since {at}{waits}")

    def _blocked(self, row: Any) -> Said:
        """The predecessor that is furthest back and stands still, and why it does."""
        entry = self._known.steps[row.step_id]
        before = [
            self._rows[self._known.steps[step].name]
            for step in entry.predecessors
            if self._known.steps[step].name in self._rows
        ]
        open_ = [one for one in before if not TaskState(one.state).is_satisfied]
        if not open_ and row.reason is not None:
            do = "`stoker rerun --outdated` makes it, and all that follows"
            return Said("lacks_output", f"step {row.reason}", do)
        if not open_:
            return Said("blocked", "its predecessors are over; it becomes ready in a moment")
        found = _first(open_)
        said = self.of(found)
        if found.state == TaskState.BLOCKED:
            return said
        state = TaskState(found.state).word
        return Said(
            "predecessor", f"step `{found.step}` before it is {state}: {said.text}", said.do
        )

    # ---------------------------------------------------------------------------------- ready tasks

    def _ready(self, row: Any) -> Said:
        entry = self._known.steps[row.step_id]
        if row.not_before_us is not None and row.not_before_us > self._unit.now_us:
            at = moment(row.not_before_us).astimezone().strftime("%Y-%m-%d %H:%M:%S")
            last = f" after: {row.ended}" if row.ended else ""
            return Said("back_off", f"it waits until {at} for its next try{last}")
        from stoker.store.reports.why_ready import shortage

        return shortage(self._unit, self._known, entry, row)
