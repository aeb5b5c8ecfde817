"""How busy hosts were in each of the last hours: what has ended was counted, what runs is added."""

from typing import TYPE_CHECKING

from sqlalchemy import select

from stoker.model.states import AttemptState, WorkerState
from stoker.store import tables
from stoker.store.forecasts import activity

if TYPE_CHECKING:
    from stoker.store.unit import Store

RUNNING = 8_000  # attempts that run and are added, at most
_AT_ONCE = 500

_A, _W, _N = tables.attempt, tables.worker, tables.activity


def host_load(store: "Store", *, hours: int) -> dict[str, list[float]]:
    """Return for each host with a worker alive how many attempts ran at once on average, hour by hour, the present one last.

    As far as it has been counted: a worker's housekeeping counts every few seconds.
    """
    width_us = activity.WIDTH_US[activity.HOURS]
    with store.reading() as unit:
        alive = select(_W.c.host).where(_W.c.state == WorkerState.ALIVE.value)
        names = sorted(set(unit.execute(alive.limit(RUNNING)).scalars()))
        now_us = unit.now_us
        first_us = now_us - now_us % width_us - (hours - 1) * width_us
        busy: dict[tuple[str, int], int] = {}
        for at in range(0, len(names), _AT_ONCE):
            query = select(_N.c.subject, _N.c.at_us, _N.c.busy_us).where(
                _N.c.kind == activity.HOST,
                _N.c.level == activity.HOURS,
                _N.c.subject.in_(names[at : at + _AT_ONCE]),
                _N.c.at_us >= first_us,
                _N.c.at_us <= now_us,
            )
            for row in unit.execute(query).fetchall():
                busy[row.subject, row.at_us] = row.busy_us
        running = (
            select(_W.c.host, _A.c.started_us)
            .join(_W, _W.c.id == _A.c.worker_id)
            .where(
                _W.c.host.in_(names),
                _A.c.state == AttemptState.RUNNING.value,
                _A.c.started_us.is_not(None),
            )
            .limit(RUNNING)
        )
        for row in unit.execute(running).fetchall():
            since_us = max(row.started_us, first_us)
            for at_us, share_us in activity.shares(since_us, now_us, width_us):
                busy[row.host, at_us] = busy.get((row.host, at_us), 0) + share_us
    begins = [first_us + n * width_us for n in range(hours)]
    return {
        name: [
            busy.get((name, at_us), 0) / max(min(now_us - at_us, width_us), 1) for at_us in begins
        ]
        for name in names
    }
