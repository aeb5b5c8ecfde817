"""The work that there is for pilots: ready tasks by what they need, and those that take part in it."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from stoker.model.batch import Crew, Demand, Load
from stoker.model.lease_kind import LeaseKind
from stoker.model.states import AttemptState, PilotState, WorkerState
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.claims.demand import Demand as ReadyByNeeds
from stoker.store.claims.demand import demand as ready_by_needs
from stoker.store.forecasts.estimates import Book, book
from stoker.store.sharing import newest_sharing
from stoker.store.steps import Catalog
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

_SOON_US = 60_000_000  # a worker that is gone by then takes no part

_T, _L, _W, _A, _P, _PW = (
    tables.task, tables.lane, tables.worker, tables.attempt, tables.pilot, tables.pilot_worker,
)  # fmt: skip


def demand(store: "Store") -> Demand:
    """Return the work that there is for pilots just now.

    What is ready is that which `project.demand()` shows, but for what has to stay on a host that has
    begun it: no new one is of use to that.
    """
    ready = [one for one in ready_by_needs(store) if one.host is None]
    with store.reading() as unit:
        known, learned = catalog(unit), book(unit)
        sharing = newest_sharing(unit)
        shared = {name: pool for name, pool in sharing.pools().items() if not pool.is_per_host}
        return Demand(
            loads=tuple(_load(one) for one in ready),
            crews=tuple(_crews(unit)),
            busy=tuple(_busy(unit, known, learned)),
            pools={name: len(pool.slots) for name, pool in shared.items()},
            closed=frozenset(sharing.closed(unit.now_us)),
        )


def _load(one: ReadyByNeeds) -> Load:
    return Load(
        n=one.count,
        cpus=one.cpus,
        memory_bytes=one.memory_bytes or 0,
        needs=frozenset(one.tags),
        pools=dict(one.pools),
        expected_s=one.expected_s,
        well_s=one.needed_s,
        timeout_s=one.timeout_s,
    )


def _crews(unit: Unit) -> Iterator[Crew]:
    query = (
        select(_W.c.slots, _W.c.memory_bytes, _W.c.tags, _W.c.stops_us)
        .select_from(_W.outerjoin(_PW, _PW.c.worker_id == _W.c.id))
        .where(
            _W.c.state == WorkerState.ALIVE.value,
            _W.c.lease_kind == LeaseKind.HEARTBEAT.value,
            _W.c.lease_until_us >= unit.now_us,
            _W.c.trouble.is_(None),
            _PW.c.pilot_id.is_(None),
        )
    )
    for row in unit.execute(query):
        if row.stops_us is None or row.stops_us > unit.now_us + _SOON_US:
            tags = frozenset(json.loads(row.tags) if row.tags else ())
            yield Crew(slots=row.slots, memory_bytes=row.memory_bytes, tags=tags)


def _busy(unit: Unit, known: Catalog, learned: Book) -> Iterator[tuple[str, int, float]]:
    query = (
        select(_P.c.batch, _T.c.step_id, _A.c.started_us, _A.c.claimed_us, _L.c.cpus)
        .select_from(
            _A.join(_PW, _PW.c.worker_id == _A.c.worker_id)
            .join(_P, _P.c.id == _PW.c.pilot_id)
            .join(_T, _T.c.id == _A.c.task_id)
            .join(
                _L,
                (_L.c.step_id == _T.c.step_id) & (_L.c.level == _T.c.level) & _L.c.share.is_(None),
            )
        )
        .where(
            _A.c.state == AttemptState.RUNNING.value,
            _P.c.state.in_([PilotState.WAITING.value, PilotState.RUNNING.value]),
        )
    )
    for batch, step, started_us, claimed_us, cpus in unit.execute(query):
        entry: Any = known.steps.get(step)
        expected_s = learned.expected_s(step, None) if entry is not None else None
        elapsed_s = (unit.now_us - (started_us or claimed_us)) / 1e6
        yield batch, cpus, max((expected_s or 0.0) - elapsed_s, 0.0)
