"""What a look at a batch system shows of the pilots, noted; and pilots that are over.

Every change is guarded: two processes that look at the same time change nothing twice, and a pilot
that has ended in order meanwhile stays so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from stoker.failpoints import hit
from stoker.model.batch import Manners
from stoker.model.states import PilotState
from stoker.model.words import shown
from stoker.store import tables
from stoker.store.apply import move_pilot
from stoker.store.columns import NAME_LENGTH
from stoker.store.pilots.entries import ITSELF, Entry, change, locked
from stoker.store.pilots.pilots import live_pilots
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_P = tables.pilot
_LIVE = (PilotState.WAITING, PilotState.RUNNING)
_PIECE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A live pilot in the batch system's list: `state` is what it makes of the pilot."""

    pilot_id: int
    state: PilotState
    job: str
    batch_id: str
    said: str
    host: str | None
    is_stuck: bool = False


@as_a_whole
def note_sightings(
    store: "Store", seen: Sequence[Sighting], missed: Sequence[int], *, began_us: int
) -> None:
    """The pilots that were seen have what was seen of them; those missed are known to be missing.

    `began_us` is when the look began.
    """
    if not (seen or missed):
        return
    with store.writing(durable=False) as unit:
        rows = {
            row.id: row
            for at in range(0, len(seen), _PIECE)
            for row in unit.execute(
                select(_P).where(
                    _P.c.id.in_([one.pilot_id for one in seen[at : at + _PIECE]]),
                    _P.c.state.in_([state.value for state in _LIVE]),
                )
            )
        }
        for one in seen:
            if one.pilot_id in rows:
                _note(unit, rows[one.pilot_id], one)
        for at in range(0, len(missed), _PIECE):
            unit.execute(
                update(_P)
                .where(_P.c.id.in_(missed[at : at + _PIECE]), _P.c.missed_us.is_(None))
                .values(missed_us=began_us)
            )


def _note(unit: Unit, row: Any, one: Sighting) -> None:
    columns: dict[str, Any] = {
        "said": shown(one.said),
        "missed_us": None,
        "refusal": None,
        "stuck_us": (row.stuck_us or unit.now_us) if one.is_stuck else None,
        "host": row.host if one.host is None else _host(one.host),
    }
    if row.job is None:
        columns |= {
            "job": shown(one.job)[:NAME_LENGTH],
            "batch_id": shown(one.batch_id)[:NAME_LENGTH],
            "submitted_us": row.intended_us,
        }
    if row.state != one.state and one.state is PilotState.RUNNING:
        columns["started_us"] = row.started_us or unit.now_us
    is_news = any(getattr(row, name) != value for name, value in columns.items())
    if is_news or row.state != one.state:
        columns["seen_us"] = unit.now_us
        move_pilot(unit, row.id, (PilotState(row.state),), one.state, columns)


def _host(said: str | None) -> str | None:
    """Return a host's name as it may be kept."""
    return None if said is None else shown(said)[:NAME_LENGTH]


@as_a_whole
def conclude(
    store: "Store",
    pilot_id: int,
    state: PilotState,
    reason: str,
    *,
    manners: Manners,
    host: str | None = None,
) -> bool:
    """The pilot is over; False, and nothing changed, if it was already.

    `host` is where it ran, if that was learned only now: a pilot may end before any look sees it run.

    One that never worked, or was refused, counts against its batch system, which waits longer each
    time and is held at last; any other forgives those before it.
    """
    with store.writing() as unit:
        row = unit.execute(select(_P.c.batch, _P.c.host).where(_P.c.id == pilot_id)).one()
        entry = locked(unit, row.batch)
        columns = {
            "ended_us": unit.now_us, "reason": shown(reason), "host": row.host or _host(host),
        }  # fmt: skip
        if not move_pilot(unit, pilot_id, _LIVE, state, columns):
            return False
        _count(unit, entry, pilot_id, state, reason, manners)
        hit("pilot.before_concluded")
    return True


def _count(
    unit: Unit, entry: Entry, pilot_id: int, state: PilotState, reason: str, manners: Manners
) -> None:
    if state in (PilotState.ENDED, PilotState.LOST):
        change(unit, entry.name, failed=0, refused=0, not_before_us=None)
        return
    if state not in (PilotState.FAILED, PilotState.REFUSED):
        return
    failed = entry.failed + (state is PilotState.FAILED)
    refused = entry.refused + (state is PilotState.REFUSED)
    waits = manners.back_off_s
    after_s = waits[min(failed + refused - 1, len(waits) - 1)]
    columns: dict[str, Any] = {
        "failed": failed,
        "refused": refused,
        "not_before_us": unit.now_us + round(after_s * 1e6),
        "pace": manners.first_waiting,
        "paced_us": unit.now_us,
    }
    if failed >= manners.most_failed and state is PilotState.FAILED and _is_one_host(unit, entry, pilot_id, failed, manners):  # fmt: skip
        columns |= {"failed": 0, "not_before_us": None}
    elif (failed >= manners.most_failed or refused >= manners.most_refused) and not entry.is_held:
        many = f"{failed} pilots that never worked" if failed >= manners.most_failed else f"{refused} refusals"  # fmt: skip
        columns |= {"held_by": ITSELF, "reason": shown(f"after {many}: {reason}")}
    change(unit, entry.name, **columns)


def _is_one_host(unit: Unit, entry: Entry, pilot_id: int, failed: int, manners: Manners) -> bool:
    """Whether those in a row failed on one host, while pilots worked on others lately."""
    query = (
        select(_P.c.host)
        .where(_P.c.batch == entry.name, _P.c.state == PilotState.FAILED.value)
        .order_by(_P.c.ended_us.desc(), _P.c.id.desc())
        .limit(failed)
    )
    hosts = set(unit.execute(query).scalars())
    if len(hosts) != 1 or None in hosts:
        return False
    since_us = unit.now_us - round(manners.excluded_s * 1e6)
    others = (
        select(_P.c.id)
        .where(
            _P.c.batch == entry.name,
            _P.c.id != pilot_id,
            _P.c.host.is_not(None),
            _P.c.host.not_in(hosts),
            _P.c.started_us >= since_us,
            _P.c.state.in_([PilotState.RUNNING.value, PilotState.ENDED.value]),
        )
        .limit(1)
    )
    return unit.execute(others).first() is not None


@as_a_whole
def note_limit(store: "Store", pilot_id: int) -> None:
    """The cluster has no place for the pilot: it was never there, and so many are the most for now."""
    with store.writing() as unit:
        row = unit.execute(select(_P.c.batch).where(_P.c.id == pilot_id)).one_or_none()
        if row is None:
            return
        locked(unit, row.batch)
        live = [one for one in live_pilots(unit, row.batch) if one.id != pilot_id]
        columns = {"ended_us": unit.now_us, "reason": "the cluster allows no more jobs just now"}
        if move_pilot(unit, pilot_id, (PilotState.WAITING,), PilotState.CANCELLED, columns):
            known = [one for one in live if one.job is not None]
            change(unit, row.batch, ceiling=len(known), ceiling_us=unit.now_us)


def excluded_hosts(unit: Unit, batch: str, manners: Manners) -> list[str]:
    """Return the hosts on which the last pilots failed, so many in a row that others are to be used."""
    since_us = unit.now_us - round(manners.excluded_s * 1e6)
    over = [state.value for state in PilotState if not state.is_live]
    query = (
        select(_P.c.host, _P.c.state)
        .where(
            _P.c.batch == batch,
            _P.c.state.in_(over),
            _P.c.host.is_not(None),
            _P.c.ended_us >= since_us,
        )
        .order_by(_P.c.ended_us.desc(), _P.c.id.desc())
        .limit(1000)
    )
    last: dict[str, list[int]] = {}
    for host, state in unit.execute(query):
        last.setdefault(host, []).append(state)
    n = manners.most_failed
    return sorted(
        host
        for host, states in last.items()
        if len(states) >= n and set(states[:n]) == {PilotState.FAILED.value}
    )


def failed_lately(unit: Unit, batch: str) -> list[str]:
    """Return the newest pilots that never worked, whose output may still be wanted."""
    query = (
        select(_P.c.uid)
        .where(_P.c.batch == batch, _P.c.state == PilotState.FAILED.value)
        .order_by(_P.c.id.desc())
        .limit(200)
    )
    return list(unit.execute(query).scalars())
