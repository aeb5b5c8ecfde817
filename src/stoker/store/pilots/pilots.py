"""The pilots' rows, read with what their workers did."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from stoker.model.states import PilotState, WorkerState
from stoker.store import tables
from stoker.store.unit import Unit

_P, _PW, _W = tables.pilot, tables.pilot_worker, tables.worker
_LIVE = tuple(state.value for state in PilotState if state.is_live)
_PIECE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """A row of `pilot`; the columns are described there. `worked_us` is how long it had a worker.

    `is_working`: one of its workers is alive and has renewed its lease.
    """

    id: int
    uid: str
    batch: str
    state: PilotState
    name: str
    job: str | None
    batch_id: str | None
    is_trial: bool
    cpus: int
    memory_bytes: int | None
    time_s: int
    idle_s: int
    tags: tuple[str, ...] | None
    intended_us: int
    submitted_us: int | None
    started_us: int | None
    ends_us: int | None
    ended_us: int | None
    stopped_us: int | None
    seen_us: int | None
    missed_us: int | None
    stuck_us: int | None
    cancel_us: int | None
    host: str | None
    said: str | None
    refusal: str | None
    is_limit: bool
    reason: str | None
    done: int
    found: str | None
    log: str
    worked_us: int = 0
    is_working: bool = False


def live_pilots(unit: Unit, batch: str | None = None) -> list[Pilot]:
    """Return the pilots that wait or run, oldest first; of one batch system, or of all."""
    query = select(_P).where(_P.c.state.in_(_LIVE)).order_by(_P.c.id)
    return pilots(unit, query if batch is None else query.where(_P.c.batch == batch))


def pilots(unit: Unit, query: "Select[Any]") -> list[Pilot]:
    """Return the pilots that a query over all columns of `pilot` finds."""
    rows = unit.execute(query).fetchall()
    worked = _worked(unit, [row.id for row in rows])
    return [_pilot(row, *worked.get(row.id, (0, False))) for row in rows]


def known_uids(unit: Unit, uids: Sequence[str]) -> set[str]:
    """Return those of these ids that are pilots of this store."""
    found: set[str] = set()
    for at in range(0, len(uids), _PIECE):
        query = select(_P.c.uid).where(_P.c.uid.in_(uids[at : at + _PIECE]))
        found |= set(unit.execute(query).scalars())
    return found


def _pilot(row: Any, worked_us: int, is_working: bool) -> Pilot:  # noqa: FBT001 - of a tuple
    fields = dict(row._mapping)  # noqa: SLF001 - the name is public in SQLAlchemy
    fields["state"] = PilotState(row.state)
    fields["tags"] = None if row.tags is None else tuple(json.loads(row.tags))
    fields["log"] = os.fsdecode(bytes(row.log))
    return Pilot(**fields, worked_us=worked_us, is_working=is_working)


def _worked(unit: Unit, ids: Sequence[int]) -> dict[int, tuple[int, bool]]:
    """Return for each pilot how long it had a worker, and whether one is alive."""
    found: dict[int, tuple[int, bool]] = {}
    for at in range(0, len(ids), _PIECE):
        query = (
            select(
                _PW.c.pilot_id, _W.c.started_us, _W.c.ended_us, _W.c.state, _W.c.lease_until_us
            )
            .join(_W, _W.c.id == _PW.c.worker_id)
            .where(_PW.c.pilot_id.in_(ids[at : at + _PIECE]))
        )  # fmt: skip
        for pilot_id, started_us, ended_us, state, lease_us in unit.execute(query):
            so_far, alive = found.get(pilot_id, (0, False))
            is_alive = state == WorkerState.ALIVE.value and lease_us >= unit.now_us
            to_us = ended_us or min(lease_us, unit.now_us)
            found[pilot_id] = (so_far + max(to_us - started_us, 0), alive or is_alive)
    return found
