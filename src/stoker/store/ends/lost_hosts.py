"""Hosts that are gone: what had to stay on them begins again, on any host.

An item's steps that stay together need what the first of them left on its host's own disk. Once no
worker has been there for a while, that is out of reach.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from stoker.failpoints import hit
from stoker.model.outpost import is_outpost
from stoker.model.states import WorkerState
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.ends.redo import begin_again
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

GONE_S = 600.0  # without a worker on it, a host is taken for gone
BATCH = 200  # items in a transaction

_T, _L, _W = tables.task, tables.lane, tables.worker


def begin_again_elsewhere(store: "Store", *, gone_s: float = GONE_S) -> int:
    """Items that wait for a lost host redo those steps that stay together; count them."""
    items = 0
    while found := _some(store, gone_s):
        items += found
    return items


@as_a_whole
def _some(store: "Store", gone_s: float) -> int:
    with store.reading() as unit:
        waiting = _waiting(unit, gone_s)
    if not waiting:
        return 0
    with store.writing() as unit:
        known = catalog(unit)
        done = 0
        for item_id, step_id, host in waiting:
            steps = set(known.steps[step_id].together) or {step_id}
            reason = (
                f"no worker has been on `{host}`, where it had begun, for {gone_s / 60:.0f} min"
            )
            done += begin_again(unit, item_id, steps, reason)
        hit("gone.before_commit")
    return done


def _waiting(unit: Unit, gone_s: float) -> Sequence[tuple[int, int, str]]:
    """Return items with a step that is ready on a host that is gone."""
    own = [entry for entry in catalog(unit).steps.values() if not entry.is_foreign]
    bound = {host for entry in own for _, _, host in entry.lanes if host and not is_outpost(host)}
    if not bound:
        return ()
    limit_us = unit.now_us - int(gone_s * 1_000_000)
    alive = _W.c.state == WorkerState.ALIVE.value
    last_us = func.coalesce(_W.c.ended_us, _W.c.lease_until_us)
    there = select(_W.c.host).where(_W.c.host.in_(sorted(bound)), alive | (last_us >= limit_us))
    gone = bound.difference(unit.execute(there).scalars())
    if not gone:
        return ()
    query = (
        select(_T.c.item_id, func.min(_T.c.step_id), func.min(_L.c.host))
        .select_from(_L.join(_T, _T.c.lane == _L.c.id))
        .where(_L.c.host.in_(sorted(gone)), _L.c.step_id.in_([entry.id for entry in own]))
        .group_by(_T.c.item_id)
        .limit(BATCH)
    )
    return [(item, step, host) for item, step, host in unit.execute(query)]
