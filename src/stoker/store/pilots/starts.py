"""A pilot that has begun: what it reports of itself, from its first sign of life to its end."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from stoker.errors import NotFound
from stoker.failpoints import hit
from stoker.model.states import PilotState
from stoker.model.words import shown
from stoker.store import tables
from stoker.store.apply import move_pilot
from stoker.store.columns import NAME_LENGTH
from stoker.store.pilots.entries import change, locked
from stoker.store.pilots.pilots import Pilot, live_pilots, pilots
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_P = tables.pilot


@as_a_whole
def start(
    store: "Store",
    uid: str,
    *,
    host: str,
    batch_id: str | None,
    began_s_ago: float,
    found: Mapping[str, Any],
) -> Pilot | None:
    """The pilot runs, whatever the batch system says of it; None if it is to end at once.

    That is so if its end has been ordered, or if it was given up and its place is taken. Its process
    began `began_s_ago`. NotFound if this store has no such pilot.
    """
    with store.writing() as unit:
        pilot = _of(unit, uid)
        entry = locked(unit, pilot.batch)
        others = [one for one in live_pilots(unit, pilot.batch) if one.uid != uid]
        is_surplus = not pilot.state.is_live and len(others) >= entry.settings["max_pilots"]
        if pilot.cancel_us is not None or is_surplus or pilot.state is PilotState.CANCELLED:
            return None
        columns: dict[str, Any] = {
            "started_us": unit.now_us,
            "ends_us": unit.now_us + round((pilot.time_s - began_s_ago) * 1e6),
            "ended_us": None,
            "stopped_us": None,
            "missed_us": None,
            "refusal": None,
            "reason": None,
            "found": json.dumps(found),
            "host": pilot.host or shown(host)[:NAME_LENGTH],
        }
        if batch_id is not None:
            columns["batch_id"] = shown(batch_id)[:NAME_LENGTH]
            columns["job"] = pilot.job or _job_of(batch_id)[:NAME_LENGTH]
            columns["submitted_us"] = pilot.submitted_us or pilot.intended_us
        move_pilot(unit, pilot.id, tuple(PilotState), PilotState.RUNNING, columns)
        hit("pilot.before_started")
        return _of(unit, uid)


def _job_of(batch_id: str) -> str:
    """Return the id in `CLUSTER:JOB.RESTART`."""
    return batch_id.partition(":")[2].rpartition(".")[0] or batch_id


@as_a_whole
def report(store: "Store", uid: str, *, done: int) -> bool:
    """The pilot has done so many tasks so far; return whether it is to go on."""
    with store.writing(durable=False) as unit:
        pilot = _of(unit, uid)
        if pilot.done != done:
            unit.execute(update(_P).where(_P.c.id == pilot.id).values(done=done))
        if done and not pilot.done:
            change(unit, pilot.batch, failed=0, refused=0, not_before_us=None)
        return pilot.cancel_us is None


@as_a_whole
def end(store: "Store", uid: str, *, done: int, was_stopped: bool, reason: str) -> None:
    """The pilot has ended in order.

    One that was stopped from outside has not: what that was, the batch system knows, and the next
    visit asks it.
    """
    with store.writing() as unit:
        pilot = _of(unit, uid)
        if not pilot.state.is_live:
            return
        if was_stopped and pilot.cancel_us is None:
            values = {"done": done, "stopped_us": unit.now_us}
            unit.execute(update(_P).where(_P.c.id == pilot.id).values(**values))
            return
        columns = {"done": done, "ended_us": unit.now_us, "reason": reason}
        if was_stopped:
            columns["reason"] = pilot.reason or "cancelled"
        state = PilotState.CANCELLED if was_stopped else PilotState.ENDED
        move_pilot(unit, pilot.id, (pilot.state,), state, columns)
        if was_stopped:
            return
        change(unit, pilot.batch, failed=0, refused=0, not_before_us=None)
        hit("pilot.before_ended")


def _of(unit: Unit, uid: str) -> Pilot:
    found = pilots(unit, select(_P).where(_P.c.uid == uid))
    if not found:
        raise NotFound(
            f"this store has no pilot `{uid}`; its batch system may serve another project"
        )
    return found[0]
