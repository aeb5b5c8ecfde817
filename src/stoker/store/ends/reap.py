"""Taking back what dead workers held, and letting tasks out of their back-off."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select, update

from stoker.failpoints import hit
from stoker.model import retry, transitions
from stoker.model.states import AttemptState, TaskState, WorkerState
from stoker.model.worker import Reaped
from stoker.store import tables
from stoker.store.apply import Move, close_attempts, end_worker, move
from stoker.store.catalog import catalog
from stoker.store.journal import to_json
from stoker.store.lanes import lane_of
from stoker.store.locks import lock_tasks
from stoker.store.reading_first import reading_first
from stoker.store.unit import Prepared, Unit, as_a_whole, param

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _I, _A, _W, _S = tables.task, tables.item, tables.attempt, tables.worker, tables.slot
BATCH = 1_000  # tasks, workers or slots in a transaction
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
    """
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


@reading_first
def _declare_dead(store: "Store", known: Sequence[int]) -> int:
    workers = 0
    with store.writing() as unit:
        expired = or_(_W.c.lease_until_us < unit.now_us, _W.c.id.in_(known))
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
        due = _T.c.not_before_us <= unit.now_us
        if unit.execute(select(_T.c.id).where(due).limit(1)).first() is None:
            return 0
    with store.writing(durable=False) as unit:
        due = _T.c.not_before_us <= unit.now_us
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


@reading_first
def _lose_once(store: "Store") -> int:
    with store.writing() as unit:
        lost = _lose_some(unit)
        if lost:
            hit("lose.before_commit")
    return lost


def _lose_some(unit: Unit) -> int:
    """Running attempts of workers that are not alive are lost; their tasks go on."""
    held = (
        select(
            _A.c.id.label("attempt"), _A.c.cancel_requested, _T.c.id, _T.c.step_id, _T.c.state,
            _T.c.attempt.label("carried"), _T.c.level, _T.c.lost, _I.c.key, _I.c.generation,
            _W.c.host, _W.c.name, _A.c.started_us, _A.c.publishing_us, _I.c.by_user, _T.c.host.label("only_host"),
            _A.c.worker_id,
        )
        .select_from(
            _A.join(_T, _T.c.id == _A.c.task_id)
            .join(_I, _I.c.id == _T.c.item_id)
            .join(_W, _W.c.id == _A.c.worker_id)
        )
        .where(_A.c.state == AttemptState.RUNNING.value, _W.c.state != WorkerState.ALIVE.value)
        .order_by(_A.c.id)
        .limit(BATCH)
    )  # fmt: skip
    rows = unit.execute(held).fetchall()
    if unit.store.dialect.locks_rows and rows:
        tasks = [row.id for row in rows]
        lock_tasks(unit, tasks)
        rows = unit.execute(held.where(_T.c.id.in_(tasks))).fetchall()
    known = catalog(unit)
    rows_lost = [r for r in rows if r.state == TaskState.RUNNING and r.carried == r.attempt]
    suspects = _suspects(rows_lost)
    moves: dict[str, list[Move]] = {}
    for row in rows_lost:
        entry = known.steps[row.step_id]
        beside = suspects.get(row.worker_id, [])
        is_suspect = row.attempt in beside
        times_lost = row.lost + (is_suspect or not beside)
        decision = retry.decide_lost(
            times_lost=times_lost,
            cancel_requested=bool(row.cancel_requested),
            before=beside.index(row.attempt) if is_suspect and len(beside) > 1 else None,
        )
        columns: dict[str, Any] = {"worker_id": None, "lost": times_lost}
        if decision.transition.target is TaskState.READY:
            columns["lane"] = lane_of(unit, entry, row.level, row.by_user, row.only_host)
            if decision.wait_s > 0:
                columns["lane"] = None
                columns["not_before_us"] = unit.now_us + int(decision.wait_s * 1_000_000)
        data = {"state": AttemptState.LOST.word, "reason": _reason(row), "lost": times_lost}
        if "not_before_us" in columns:
            data["not_before_us"] = columns["not_before_us"]
        data |= {"cause": _reason(row), "started_us": row.started_us, "ended_us": unit.now_us}
        if row.publishing_us is not None:
            data["publishing_us"] = row.publishing_us
        moves.setdefault(decision.transition.name, []).append(
            Move(
                row.id, TaskState.RUNNING, entry.pipeline, row.key, entry.name, row.generation,
                row.attempt, columns, None, to_json(data),
            )
        )  # fmt: skip
    by_reason: dict[str, list[bytes]] = {}
    for row in rows:
        by_reason.setdefault(_reason(row), []).append(row.attempt)
    for reason, attempts in by_reason.items():
        close_attempts(unit, attempts, AttemptState.LOST, reason)
    for name, several in moves.items():
        move(unit, transitions.BY_NAME[name], several)
    return len(rows)


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
    orphaned = (
        select(_S.c.pool, _S.c.name, _S.c.attempt)
        .select_from(_S.join(_A, _A.c.id == _S.c.attempt).outerjoin(_W, _W.c.id == _A.c.worker_id))
        .where(
            _A.c.state != AttemptState.RUNNING.value,
            or_(_W.c.id.is_(None), _W.c.state != WorkerState.ALIVE.value),
        )
    )
    with store.writing() as unit:
        rows = unit.execute(orphaned.limit(BATCH)).fetchall()
        for row in rows:
            where = and_(_S.c.pool == row.pool, _S.c.name == row.name, _S.c.attempt == row.attempt)
            unit.execute(update(_S).where(where).values(attempt=None))
        hit("free_slots.before_commit")
    return len(rows)
