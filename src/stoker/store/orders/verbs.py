"""What a person changes: hold, release, cancel, retry, rerun. Every verb can be rehearsed.

Verbs work through a selection in transactions of a thousand tasks, so that workers go on meanwhile;
a verb cut short has done whole tasks only, and the same call again does the rest.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from stoker.model import transitions
from stoker.model.selection import Selection
from stoker.model.states import AttemptState, TaskState
from stoker.model.transitions import Transition
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.apply import Move, move
from stoker.store.catalog import catalog
from stoker.store.ends.redo import COLUMNS, Changed, as_move, redo
from stoker.store.lanes import lane_of
from stoker.store.locks import lock_tasks, lock_tasks_of
from stoker.store.paging import Listed, pages
from stoker.store.picking import pick_tasks
from stoker.store.steps import Catalog
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _I, _S, _P, _A = tables.task, tables.item, tables.step, tables.pipeline, tables.attempt
RERUN = 100  # tasks in a transaction that sets back what follows from them too
_Choice = Callable[[Any, Catalog], tuple[Transition, dict[str, Any]] | None]
_INTO_LANE = frozenset(
    one.name for one in transitions.TRANSITIONS if one.target is TaskState.READY
)  # a task that gets ready stands in a lane


def hold(store: "Store", selection: Selection, actor: Actor, *, dry_run: bool = False) -> Changed:
    """The selected tasks that have not begun will not be claimed until they are released."""
    columns = {"reason": _said(actor, "held")}

    def chosen(row: Any, _known: Catalog) -> tuple[Transition, dict[str, Any]] | None:
        if TaskState(row.state) not in transitions.HOLD.sources:
            return None
        if row.state == TaskState.BLOCKED and row.said is not None:
            return transitions.HOLD, {**columns, "waiting_on": 0}  # a claim will look again
        return transitions.HOLD, columns

    return _change(store, selection, actor, chosen, dry_run=dry_run)


def release(
    store: "Store", selection: Selection, actor: Actor, *, dry_run: bool = False
) -> Changed:
    """The selected held tasks are ready again, or blocked where a predecessor is not done."""

    def chosen(row: Any, _known: Catalog) -> tuple[Transition, dict[str, Any]] | None:
        if row.state != TaskState.HELD:
            return None
        transition = transitions.RELEASE_BLOCKED if row.waiting_on else transitions.RELEASE
        return transition, {"reason": None, "cut_off": 0, "lost": 0}

    return _change(store, selection, actor, chosen, dry_run=dry_run)


def retry(store: "Store", selection: Selection, actor: Actor, *, dry_run: bool = False) -> Changed:
    """The selected failed tasks are ready, with a fresh allowance of retries; history stays.

    Blocked is one that a new step came before since, until that is done.
    """

    def chosen(row: Any, _known: Catalog) -> tuple[Transition, dict[str, Any]] | None:
        if row.state != TaskState.FAILED:
            return None
        is_behind = row.waiting_on > 0  # a new step came before it since it failed
        fresh = {"tries": 0, "lost": 0, "cut_off": 0}
        return transitions.RETRY_BLOCKED if is_behind else transitions.RETRY, fresh

    return _change(store, selection, actor, chosen, dry_run=dry_run)


def cancel(store: "Store", selection: Selection, actor: Actor, *, dry_run: bool = False) -> Changed:
    """The selected open or failed tasks are cancelled; running ones as soon as they are stopped.

    A running attempt is asked to stop (counted as `stop`): its worker kills it within seconds and
    records the end.
    """
    columns = {"reason": _said(actor, "cancelled")}

    def chosen(row: Any, _known: Catalog) -> tuple[Transition, dict[str, Any]] | None:
        if row.state == TaskState.RUNNING:
            return transitions.STOP, {}
        is_due = TaskState(row.state) in transitions.CANCEL.sources
        return (transitions.CANCEL, columns) if is_due else None

    return _change(store, selection, actor, chosen, dry_run=dry_run)


def rerun(
    store: "Store",
    selection: Selection,
    actor: Actor,
    *,
    outdated: bool = False,
    dry_run: bool = False,
) -> Changed:
    """The selected tasks are ready and all that follow from them blocked, to be done again.

    With `outdated`, only done tasks whose step has changed since. A selected task that is running
    is left alone; a running follower is fenced off, and its worker stops it. One transaction for
    every hundred tasks. A follower counts once, also where it is selected too and comes later.
    """
    done, ahead = Changed(), set[int]()
    chosen = _rerun_filter(selection, outdated=outdated)
    for rows in _selected(store, selection):
        for some in _by_items(rows):
            left = [row for row in some if row.id not in ahead]
            changed, moved = _rerun_some(store, left, chosen, actor, dry_run=dry_run)
            done.add(changed)
            ahead = {task for task in ahead | moved if task > some[-1].id}
    return done


def _by_items(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield the tasks some at a time, those of an item that stand together in one piece."""
    begin = 0
    for at, row in enumerate(rows):
        if at - begin >= RERUN and row.item_id != rows[at - 1].item_id:
            yield rows[begin:at]
            begin = at
    yield rows[begin:]


@as_a_whole
def _rerun_some(
    store: "Store",
    rows: Sequence[Any],
    chosen: Callable[[Any, Catalog], bool],
    actor: Actor,
    *,
    dry_run: bool,
) -> tuple[Changed, set[int]]:
    """Return what changed, and the ids of the tasks that did."""
    done, moved = Changed(), set[int]()
    with store.writing(dry_run=dry_run) as unit:
        wanted: dict[int, set[int]] = {}
        known = catalog(unit)
        for row in rows:
            if known.steps[row.step_id].is_foreign:
                done.leave_foreign()
            elif row.state == TaskState.RUNNING or not chosen(row, known):
                done.leave(row.state)
            else:
                wanted.setdefault(row.item_id, set()).add(row.step_id)
        lock_tasks_of(unit, wanted)
        for item_id, steps in wanted.items():
            moved |= redo(unit, known, item_id, steps, actor.data(), done)
    return done, moved


def _said(actor: Actor, what: str) -> str:
    return f"{what} by {actor.user}" + (f": {actor.reason}" if actor.reason else "")


def _selected(store: "Store", selection: Selection) -> Iterable[Sequence[Any]]:
    """Yield the selected tasks in pages, after checking the selection."""
    with store.reading() as unit:
        selections.check(unit, selection)
        picked = pick_tasks(unit, selection)
    where = selections.where_filter(selection)
    query = selections.task_query(picked.rest, *COLUMNS)
    yield from pages(store, Listed(query, _T.c.id, where, pick=picked.pick))


def _change(
    store: "Store", selection: Selection, actor: Actor, chosen: _Choice, *, dry_run: bool
) -> Changed:
    """Move each selected task as `chosen` says for it, page by page."""
    done = Changed()
    for rows in _selected(store, selection):
        if rows:
            done.add(_change_page(store, rows, actor, chosen, dry_run=dry_run))
    return done


@as_a_whole
def _change_page(
    store: "Store", rows: Sequence[Any], actor: Actor, chosen: _Choice, *, dry_run: bool
) -> Changed:
    done = Changed()
    with store.writing(dry_run=dry_run) as unit:
        known = catalog(unit)
        moves: dict[str, list[Move]] = {}
        for row in _fresh(unit, rows):
            if known.steps[row.step_id].is_foreign:
                done.leave_foreign()
                continue
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
            moves.setdefault(transition.name, []).append(as_move(row, columns, actor.data()))
        stopping = moves.pop(transitions.STOP.name, [])
        _request_cancel(unit, [one.task_id for one in stopping])
        for name, several in moves.items():
            move(unit, transitions.BY_NAME[name], several)
    return done


def _fresh(unit: Unit, rows: Sequence[Any]) -> Sequence[Any]:
    """Return the rows as they are in this transaction; they were read in an earlier one."""
    ids = [row.id for row in rows]
    lock_tasks(unit, ids)
    query = selections.task_query(Selection(), *COLUMNS).where(_T.c.id.in_(ids))
    fresh: Sequence[Any] = unit.execute(query.order_by(_T.c.id)).fetchall()
    return fresh


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
