"""The workers: coming, renewing their lease, going. One row a start of a process, never reused."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from stoker.failpoints import hit
from stoker.model.states import AttemptState, WorkerState
from stoker.model.task import AttemptId, WorkerId
from stoker.store import tables
from stoker.store.apply import add_worker, end_worker
from stoker.store.holdings.pools import fit_host
from stoker.store.unit import Prepared, as_a_whole, param

if TYPE_CHECKING:
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


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a worker learns when it renews its lease.

    `is_alive` False: it was declared dead, its attempts are lost, and it must kill them and begin
    anew. `running`: what the store still counts as its own; all else it must kill. `cancel`: what
    it is asked to stop and report as cancelled.
    """

    is_alive: bool
    running: frozenset[AttemptId]
    cancel: frozenset[AttemptId]
    lease_until_us: int


@as_a_whole
def enlist(  # noqa: PLR0913 - each is a column of the worker's row
    store: "Store",
    *,
    host: str,
    name: str,
    pid: int,
    slots: int,
    cpus: int,
    memory_bytes: int,
    scratch: str,
    boot_id: str,
    lease_s: float,
    tags: Sequence[str] = (),
    room_key: str = "",
    cpu_mask: str = "",
    batch_id: str | None = None,
    left_s: float | None = None,
    usable_s: float | None = None,
) -> WorkerId:
    """A new worker is alive, with a lease of `lease_s` seconds from now; return its id.

    It shares cpus and memory with the workers of its host that have the same `room_key`, but cpus
    only with those whose `cpu_mask` overlaps its own. It will be gone in `left_s`, and its attempts
    have `usable_s`. Its host has its slots of the pools that are
    per host.
    """
    with store.writing() as unit:
        worker_id = WorkerId(
            add_worker(
                unit,
                {
                    "host": host,
                    "name": name,
                    "pid": pid,
                    "slots": slots,
                    "cpus": cpus,
                    "memory_bytes": memory_bytes,
                    "scratch": os.fsencode(scratch),
                    "boot_id": boot_id,
                    "room_key": room_key,
                    "cpu_mask": cpu_mask if len(cpu_mask) <= MASK_DIGITS else "",
                    "batch_id": batch_id,
                    "tags": json.dumps(sorted(set(tags))) if tags else None,
                    "started_us": unit.now_us,
                    "lease_until_us": unit.now_us + int(lease_s * 1_000_000),
                    "ends_us": _later(unit.now_us, left_s),
                    "stops_us": _later(unit.now_us, usable_s),
                },
            )
        )
        fit_host(unit, host)
        hit("enlist.before_commit")
    hit("enlisted")
    return worker_id


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
    """Whoever asks for the worker reads why it claims nothing; None: it claims again."""
    with store.writing() as unit:
        unit.execute(update(_W).where(_W.c.id == worker_id).values(trouble=trouble))


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
        alive = (_W.c.state == WorkerState.ALIVE.value) & (_W.c.lease_until_us > unit.now_us)
        query = select(_W.c.id).where(_W.c.id == worker_id, alive)
        return unit.execute(query).first() is None


def next_due_us(store: "Store") -> int | None:
    """Return when the next task comes out of its back-off, in microseconds since the epoch."""
    with store.reading() as unit:
        found: int | None = unit.execute(select(func.min(_T.c.not_before_us))).scalar()
    return found
