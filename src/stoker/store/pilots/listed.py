"""Batch systems and pilots as people and programs see them."""

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import select

from stoker.errors import NotFound
from stoker.model.states import PilotState
from stoker.spec.problems import suggest
from stoker.store import tables
from stoker.store.batch_rows import BatchStatus, PilotRow
from stoker.store.pilots.entries import Entry, entries
from stoker.store.pilots.pilots import Pilot, live_pilots, pilots
from stoker.store.times import moment
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

RECENT = 20  # pilots that are over, of each batch system, unless all are asked for
_P = tables.pilot


def batch_status(unit: Unit) -> dict[str, BatchStatus]:
    """Return how each batch system stands, by name."""
    found = entries(unit)
    if not found:
        return {}
    live: dict[str, list[Pilot]] = {}
    for one in live_pilots(unit):
        live.setdefault(one.batch, []).append(one)
    return {entry.name: _status(entry, live.get(entry.name, []), unit.now_us) for entry in found}


def _status(entry: Entry, live: list[Pilot], now_us: int) -> BatchStatus:
    running = [one for one in live if one.state is PilotState.RUNNING]
    waiting = [one for one in live if one.state is PilotState.WAITING]
    said = Counter(one.said for one in waiting if one.said)
    ends = sorted(one.ends_us for one in running if one.ends_us is not None)
    reason = entry.reason
    if not entry.is_held and (entry.not_before_us or 0) > now_us and entry.not_before_us:
        many = entry.failed + entry.refused
        reason = f"waits after {many} pilots that never worked or were refused"
    return BatchStatus(
        system=entry.settings["system"],
        site=None,
        running=len(running),
        waiting=len(waiting),
        wanted=entry.wanted,
        max_pilots=entry.settings["max_pilots"],
        held=entry.is_held,
        held_by=entry.held_by or None,
        reason=reason,
        asked_at=moment(entry.asked_us),
        answered_at=moment(entry.answered_us),
        trouble=entry.trouble,
        not_before=moment(entry.not_before_us)
        if entry.not_before_us and entry.not_before_us > now_us
        else None,
        ceiling=entry.ceiling,
        waits_for=said.most_common(1)[0][0] if said else None,
        waiting_since=moment(min((one.intended_us for one in waiting), default=None)),
        cpus=sum(one.cpus for one in running),
        ends_first_at=moment(ends[0]) if ends else None,
        ends_last_at=moment(ends[-1]) if ends else None,
    )


def pilot_rows(
    store: "Store", batch: str | None = None, *, everything: bool = False
) -> list[PilotRow]:
    """Return the live pilots and the newest of those that are over, oldest first; or all.

    NotFound for a batch system that the store does not know.
    """
    with store.reading() as unit:
        if batch is not None:
            known = [one.name for one in entries(unit, everything=True)]
            if batch not in known:
                hint = suggest(batch, known) or "`[batch.NAME]` in `stoker.toml` declares them"
                raise NotFound(f"there is no batch system `{batch}`; {hint}")
        query = select(_P).order_by(_P.c.id)
        if batch is not None:
            query = query.where(_P.c.batch == batch)
        if not everything:
            query = query.where(_P.c.id.in_(_recent(unit, batch)))
        return [_row(one) for one in pilots(unit, query)]


def _recent(unit: Unit, batch: str | None) -> list[int]:
    live = [one.id for one in live_pilots(unit, batch)]
    over = [state.value for state in PilotState if not state.is_live]
    query = select(_P.c.id).where(_P.c.state.in_(over)).order_by(_P.c.id.desc()).limit(RECENT)
    if batch is not None:
        query = query.where(_P.c.batch == batch)
    return live + list(unit.execute(query).scalars())


def pilots_of_item(unit: Unit, item_id: int) -> list[PilotRow]:
    """Return the pilots that attempts of this item ran in, oldest first."""
    attempt, task, tie = tables.attempt, tables.task, tables.pilot_worker
    ids = (
        select(tie.c.pilot_id)
        .join(attempt, attempt.c.worker_id == tie.c.worker_id)
        .join(task, task.c.id == attempt.c.task_id)
        .where(task.c.item_id == item_id)
    )
    query = select(_P).where(_P.c.id.in_(ids)).order_by(_P.c.id)
    return [_row(one) for one in pilots(unit, query)]


def _row(one: Pilot) -> PilotRow:
    reason = one.reason
    if one.state.is_live:
        reason = one.refusal or one.said
        if one.cancel_us is not None:
            reason = f"to end: {one.reason or 'cancelled'}"
    return PilotRow(
        id=one.uid,
        batch=one.batch,
        batch_id=one.batch_id,
        state=one.state.word,
        reason=reason,
        host=one.host,
        cpus=one.cpus,
        memory_bytes=one.memory_bytes,
        submitted_at=moment(one.submitted_us),
        started_at=moment(one.started_us),
        ends_at=moment(one.ends_us),
        ended_at=moment(one.ended_us),
        done=one.done,
    )


def find_pilot(store: "Store", batch: str, uid: str | None) -> Pilot:
    """Return the pilot whose id begins so; without `uid` the newest that has begun or failed."""
    with store.reading() as unit:
        query = select(_P).where(_P.c.batch == batch).order_by(_P.c.id.desc()).limit(1)
        if uid is None:
            over_or_begun = _P.c.started_us.is_not(None) | _P.c.ended_us.is_not(None)
            found = pilots(unit, query.where(over_or_begun)) or pilots(unit, query)
        else:
            found = pilots(unit, query.where(_P.c.uid.startswith(uid, autoescape=True)).limit(2))
        if len(found) > 1:
            raise NotFound(f"several pilots of `{batch}` begin with `{uid}`; name it in full")
        if not found:
            which = f"pilot `{uid}`" if uid is not None else "pilot"
            raise NotFound(
                f"`{batch}` has no {which}; `stoker batch list {batch} --all` lists them"
            )
        return found[0]
