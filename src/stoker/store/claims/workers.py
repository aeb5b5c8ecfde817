"""The workers: coming, renewing their lease, going. One row a start of a process, never reused."""

import json
import os
from typing import TYPE_CHECKING

from sqlalchemy import func, insert, literal, select, update

from stoker.failpoints import hit
from stoker.model.id_types import AttemptId, WorkerId
from stoker.model.lease_kind import LeaseKind
from stoker.model.states import AttemptState, WorkerState
from stoker.model.words import shown
from stoker.model.worker import NewWorker, Renewal
from stoker.store import tables
from stoker.store.apply import add_worker, end_worker
from stoker.store.columns import NAME_LENGTH
from stoker.store.holdings.pools import fit_host
from stoker.store.unit import Prepared, as_a_whole, param

if TYPE_CHECKING:
    from sqlalchemy import Insert

    from stoker.store.unit import Store

MASK_DIGITS = 200  # of a hexadecimal mask: 800 cpus; on a larger host all count as shared
_W, _A, _T = tables.worker, tables.attempt, tables.task
_RENEW = Prepared(
    update(_W)
    .where(_W.c.id == param("worker_id"), _W.c.state == param("alive"))
    .values(lease_until_us=param("until_us"))
)
_RUNNING = Prepared(
    select(_A.c.id, _A.c.cancel_requested).where(
        _A.c.worker_id == param("worker_id"), _A.c.state == param("running")
    )
)
_NEXT_DUE = Prepared(select(func.min(_T.c.not_before_us)))


@as_a_whole
def enlist(store: "Store", new: NewWorker) -> WorkerId:
    """A new worker is alive, with a lease of `new.lease_s` seconds from now; return its id.

    Its host has its slots of the pools that are per host.
    """
    with store.writing() as unit:
        worker_id = WorkerId(
            add_worker(
                unit,
                {
                    "host": new.host,
                    "name": shown(new.name)[:NAME_LENGTH],
                    "pid": new.pid,
                    "slots": new.slots,
                    "cpus": new.cpus,
                    "memory_bytes": new.memory_bytes,
                    "scratch": os.fsencode(new.scratch),
                    "boot_id": new.boot_id,
                    "room_key": new.room_key,
                    "cpu_mask": new.cpu_mask if len(new.cpu_mask) <= MASK_DIGITS else "",
                    "batch_id": new.batch_id,
                    "tags": json.dumps(sorted(set(new.tags))) if new.tags else None,
                    "started_us": unit.now_us,
                    "lease_until_us": unit.now_us + int(new.lease_s * 1_000_000),
                    "lease_kind": new.lease_kind.value,
                    "ends_us": _later(unit.now_us, new.left_s),
                    "stops_us": _later(unit.now_us, new.usable_s),
                },
            )
        )
        if new.pilot is not None:
            unit.execute(_tie(worker_id, new.pilot))
        fit_host(unit, new.host)
        hit("enlist.before_commit")
    hit("enlisted")
    return worker_id


def _tie(worker_id: int, uid: str) -> "Insert":
    """The worker belongs to that pilot, if the store knows it."""
    pilot, tie = tables.pilot, tables.pilot_worker
    found = select(literal(worker_id), pilot.c.id).where(pilot.c.uid == uid)
    return insert(tie).from_select([tie.c.worker_id, tie.c.pilot_id], found)


def _later(now_us: int, after_s: float | None) -> int | None:
    return None if after_s is None else now_us + int(after_s * 1_000_000)


@as_a_whole
def renew(store: "Store", worker_id: WorkerId, *, lease_s: float) -> Renewal:
    """The worker's lease lasts `lease_s` from now, unless it has been declared dead."""
    with store.writing(durable=False) as unit:
        until_us = unit.now_us + int(lease_s * 1_000_000)
        done = unit.run(
            _RENEW, worker_id=worker_id, alive=WorkerState.ALIVE.value, until_us=until_us
        )
        if done.rowcount == 0:
            return Renewal(
                is_alive=False, running=frozenset(), cancel=frozenset(), lease_until_us=0
            )
        rows = unit.run(
            _RUNNING, worker_id=worker_id, running=AttemptState.RUNNING.value
        ).fetchall()
    return Renewal(
        is_alive=True,
        running=frozenset(AttemptId(bytes(row[0])) for row in rows),
        cancel=frozenset(AttemptId(bytes(row[0])) for row in rows if row[1]),
        lease_until_us=until_us,
    )


@as_a_whole
def note_trouble(store: "Store", worker_id: WorkerId, trouble: str | None) -> None:
    """Readers of the worker's row learn why it claims nothing; None: it claims again."""
    words = None if trouble is None else shown(trouble)
    with store.writing() as unit:
        unit.execute(update(_W).where(_W.c.id == worker_id).values(trouble=words))


@as_a_whole
def retire(store: "Store", worker_id: WorkerId) -> None:
    """The worker has ended and holds nothing; had it been declared dead, nothing changes."""
    with store.writing() as unit:
        end_worker(unit, worker_id, WorkerState.ENDED)
        hit("retire.before_commit")
    hit("retired")


def is_gone(store: "Store", worker_id: int) -> bool:
    """Whether the worker has ended or died, or its lease has run out, as the store knows."""
    with store.reading() as unit:
        holds = (_W.c.lease_until_us > unit.now_us) | (_W.c.lease_kind == LeaseKind.DETACHED.value)
        alive = (_W.c.state == WorkerState.ALIVE.value) & holds
        query = select(_W.c.id).where(_W.c.id == worker_id, alive)
        return unit.execute(query).first() is None


def next_due_us(store: "Store") -> int | None:
    """Return when the next task comes out of its back-off, in microseconds since the epoch."""
    with store.reading() as unit:
        found: int | None = unit.run(_NEXT_DUE).fetchone()[0]
    return found
