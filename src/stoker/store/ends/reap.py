"""Taking back what dead workers held, and letting tasks out of their back-off."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, literal_column, or_, select, update

from stoker.failpoints import hit
from stoker.model import retry, transitions
from stoker.model.lease_kind import LeaseKind
from stoker.model.states import AttemptState, TaskState, WorkerState
from stoker.model.worker import Reaped
from stoker.store import tables
from stoker.store.apply import Move, close_attempts, end_worker, move
from stoker.store.catalog import catalog
from stoker.store.holdings import error_folders
from stoker.store.journal import to_json
from stoker.store.lanes import lane_of
from stoker.store.locks import lock_tasks
from stoker.store.reading_first import reading_first
from stoker.store.unit import Prepared, Unit, as_a_whole, param

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _I, _A, _W, _S = tables.task, tables.item, tables.attempt, tables.worker, tables.slot
BATCH = 1_000  # tasks, workers or slots in a transaction
# The states as words of the text, not as parameters: only then do the indexes of such rows serve.
_alive = _W.c.state == literal_column(str(WorkerState.ALIVE.value))
_is_running = _A.c.state == literal_column(str(AttemptState.RUNNING.value))
_orphaned = (
    select(_S.c.pool, _S.c.name, _S.c.attempt)
    .select_from(_S.join(_A, _A.c.id == _S.c.attempt).outerjoin(_W, _W.c.id == _A.c.worker_id))
    .where(
        _S.c.attempt.is_not(None), ~_is_running,
        or_(_W.c.id.is_(None), _W.c.state != literal_column(str(WorkerState.ALIVE.value))),
    )
)  # fmt: skip
_IS_ANY = Prepared(
    select(
        or_(
            select(_W.c.id)
            .where(
                _alive,
                _W.c.lease_kind == LeaseKind.HEARTBEAT.value,
                _W.c.lease_until_us < param("now_us"),
            )
            .exists(),
            select(_A.c.id)
            .select_from(_A.join(_W, _W.c.id == _A.c.worker_id))
            .where(_is_running, ~_alive)
            .exists(),
            _orphaned.exists(),
        )
    )
)
_PROMOTE = Prepared(
    update(_T)
    .where(_T.c.id == param("task_id_"))
    .values(lane=param("lane"), not_before_us=param("not_before_us"))
)


def reap(store: "Store", *, dead_workers: Sequence[int] = ()) -> Reaped:
    """Workers whose lease has run out are dead, and what dead workers held is ready again.

    `dead_workers` are known to be dead by other means (their warden saw it, or their process is not
    on this host any more) and do not get the rest of their lease. A worker that was only frozen
    finds out when it renews its lease or finishes an attempt: both are refused.

    Every worker looks every few seconds, nearly always for nothing: that is one statement.
    """
    if not dead_workers and not _is_any(store):
        return Reaped()
    workers = 0
    while declared := _declare_dead(store, dead_workers):
        workers += declared
        hit("declared_dead")
    attempts = 0
    while True:
        lost = _lose_once(store)
        attempts += lost
        if lost < BATCH:
            break
    if attempts:
        hit("lost")
    while _free_orphaned_slots(store):
        hit("slots_freed")
    return Reaped(workers, attempts)


def _is_any(store: "Store") -> bool:
    """Whether a lease has run out, or a worker that is not alive still holds something."""
    with store.reading() as unit:
        return bool(unit.run(_IS_ANY, now_us=unit.now_us).fetchone()[0])


@reading_first
def _declare_dead(store: "Store", known: Sequence[int]) -> int:
    workers = 0
    with store.writing() as unit:
        # That of a detached one does not: it speaks through visits, which may be far apart.
        runs_out = _W.c.lease_kind == LeaseKind.HEARTBEAT.value
        expired = or_(and_(runs_out, _W.c.lease_until_us < unit.now_us), _W.c.id.in_(known))
        query = select(_W.c.id, _W.c.lease_until_us).where(
            _W.c.state == WorkerState.ALIVE.value, expired
        )
        for row in unit.execute(query.order_by(_W.c.id).limit(BATCH)).fetchall():
            workers += end_worker(
                unit, row.id, WorkerState.DEAD, lease_before_us=row.lease_until_us + 1
            )
    return workers


def promote_all_due(store: "Store") -> int:
    """All tasks whose back-off is over may be claimed; return how many."""
    total = 0
    while promoted := promote_due(store):
        total += promoted
    return total


@as_a_whole
def promote_due(store: "Store") -> int:
    """Tasks whose back-off is over may be claimed, up to a thousand; return how many were looked at.

    Among those looked at, one that is held or cancelled only loses its time.
    """
    with store.reading() as unit:
        if unit.execute(select(_T.c.id).where(_due(unit)).limit(1)).first() is None:
            return 0
    with store.writing(durable=False) as unit:
        due = _due(unit)
        query = select(_T.c.id).where(due).order_by(_T.c.not_before_us, _T.c.id).limit(BATCH)
        ids = sorted(unit.execute(query).scalars())
        lock_tasks(unit, ids)
        rows = unit.execute(
            select(_T.c.id, _T.c.step_id, _T.c.state, _T.c.level, _T.c.host, _I.c.by_user)
            .join(_I, _I.c.id == _T.c.item_id)
            .where(_T.c.id.in_(ids), due)
            .order_by(_T.c.id)
        ).fetchall()
        known = catalog(unit)
        changes = []
        for row in rows:
            lane = None
            if row.state == TaskState.READY:
                lane = lane_of(unit, known.steps[row.step_id], row.level, row.by_user, row.host)
            changes.append({"task_id_": row.id, "lane": lane, "not_before_us": None})
        unit.run_many(_PROMOTE, changes)
        hit("promote.before_commit")
    return len(rows)


def _due(unit: Unit) -> Any:
    """The condition that a task's back-off is over, and that it is ours to let go on."""
    due = _T.c.not_before_us <= unit.now_us
    return and_(due, *_ours(unit))


def _ours(unit: Unit) -> list[Any]:
    """The condition that a task is of a step of this site; none where all are."""
    foreign = catalog(unit).foreign_ids
    return [_T.c.step_id.not_in(foreign)] if foreign else []


@reading_first
def _lose_once(store: "Store") -> int:
    with store.writing() as unit:
        lost = _lose_some(unit)
        if lost:
            hit("lose.before_commit")
    return lost


def _lose_some(unit: Unit) -> int:
    """Running attempts of workers that are not alive are lost; their tasks go on."""
    rows = _held(unit)
    carried = [one for one in rows if one.state == TaskState.RUNNING and one.carried == one.attempt]
    suspects = _suspects(carried)
    moves: dict[str, list[Move]] = {}
    for row in carried:
        transition, one = _lose(unit, row, suspects.get(row.worker_id, []))
        moves.setdefault(transition, []).append(one)
    by_reason: dict[str, list[bytes]] = {}
    for row in rows:
        by_reason.setdefault(_reason(row), []).append(row.attempt)
    for reason, attempts in by_reason.items():
        close_attempts(unit, attempts, AttemptState.LOST, reason)
    for name, several in moves.items():
        move(unit, transitions.BY_NAME[name], several)
    failed = {one.task_id for one in moves.get(transitions.FAIL.name, ())}
    known = catalog(unit)
    error_folders.note_failed(
        unit,
        known,
        [
            (known.steps[row.step_id].pipeline, row.attempt, row.id, row.item_id)
            for row in carried
            if row.id in failed
        ],
    )
    return len(rows)


def _held(unit: Unit) -> Sequence[Any]:
    """Return some running attempts of workers that are not alive, with their tasks, locked."""
    held = (
        select(
            _A.c.id.label("attempt"), _A.c.cancel_requested, _T.c.id, _T.c.step_id, _T.c.state,
            _T.c.attempt.label("carried"), _T.c.level, _T.c.lost, _I.c.key, _A.c.generation,
            _W.c.host, _W.c.name, _A.c.started_us, _A.c.publishing_us, _I.c.by_user,
            _T.c.host.label("only_host"), _A.c.worker_id, _A.c.batch_id, _T.c.waiting_on,
            _T.c.item_id, _A.c.node,
        )
        .select_from(
            _A.join(_T, _T.c.id == _A.c.task_id)
            .join(_I, _I.c.id == _T.c.item_id)
            .join(_W, _W.c.id == _A.c.worker_id)
        )
        .where(
            _A.c.state == AttemptState.RUNNING.value,
            _W.c.state != WorkerState.ALIVE.value,
            *_ours(unit),
        )
        .order_by(_A.c.id)
        .limit(BATCH)
    )  # fmt: skip
    rows: Sequence[Any] = unit.execute(held).fetchall()
    if unit.store.dialect.locks_rows and rows:
        tasks = [row.id for row in rows]
        lock_tasks(unit, tasks)
        rows = unit.execute(held.where(_T.c.id.in_(tasks))).fetchall()
    return rows


def _lose(unit: Unit, row: Any, suspects: Sequence[bytes]) -> tuple[str, Move]:
    """Return what becomes of a task whose attempt was lost, beside those that may be the cause."""
    entry = catalog(unit).steps[row.step_id]
    is_suspect = row.attempt in suspects
    times_lost = row.lost + (is_suspect or not suspects)
    decision = retry.decide_lost(
        times_lost=times_lost,
        cancel_requested=bool(row.cancel_requested),
        before=suspects.index(row.attempt) if is_suspect and len(suspects) > 1 else None,
        is_batch_job=row.batch_id is not None,
    ).behind(row.waiting_on)
    columns: dict[str, Any] = {"worker_id": None, "lost": times_lost}
    if decision.transition.target is TaskState.READY:
        if decision.wait_s > 0:
            columns["not_before_us"] = unit.now_us + int(decision.wait_s * 1_000_000)
        else:
            columns["lane"] = lane_of(unit, entry, row.level, row.by_user, row.only_host)
    if decision.transition.target is TaskState.HELD:
        columns["reason"] = retry.OF_BATCH_JOBS.format(times_lost)
    told = {
        "publishing_us": row.publishing_us, "batch_id": row.batch_id, "node": row.node,
        "not_before_us": columns.get("not_before_us"),
    }  # fmt: skip
    data = {
        "state": AttemptState.LOST.word, "reason": _reason(row), "cause": _reason(row),
        "lost": times_lost, "started_us": row.started_us, "ended_us": unit.now_us,
        **{name: value for name, value in told.items() if value is not None},
    }  # fmt: skip
    one = Move(
        row.id, TaskState.RUNNING, entry.pipeline, row.key, entry.name, row.generation,
        row.attempt, columns, None, to_json(data),
    )  # fmt: skip
    return decision.transition.name, one


def _suspects(rows: Sequence[Any]) -> dict[int, list[bytes]]:
    """Return for each worker the attempts that may be what killed it, the latest claimed first.

    They are those whose tasks have been lost so often that one more time stops them. Beside one of
    those nobody else is held to account.
    """
    found: dict[int, list[bytes]] = {}
    for row in sorted(rows, key=lambda row: bytes(row.attempt), reverse=True):
        if row.lost + 1 >= retry.MAX_LOST and not row.cancel_requested:
            found.setdefault(row.worker_id, []).append(row.attempt)
    return found


def _reason(row: Any) -> str:
    return f"its worker `{row.name}` on `{row.host}` died or lost its lease"


@reading_first
def _free_orphaned_slots(store: "Store") -> int:
    """Some slots of attempts that have ended, and whose worker cannot give them back, are free."""
    with store.writing() as unit:
        rows = unit.execute(_orphaned.limit(BATCH)).fetchall()
        for row in rows:
            where = and_(_S.c.pool == row.pool, _S.c.name == row.name, _S.c.attempt == row.attempt)
            unit.execute(update(_S).where(where).values(attempt=None))
        hit("free_slots.before_commit")
    return len(rows)
