"""Pilots on their way to a batch system: intended, submitted, refused, cancelled.

A pilot's row is committed before its job is submitted, and its job carries the row's id in its name.
So whatever dies between the two, the job is found by that name and never submitted twice.
"""

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from stoker.failpoints import hit
from stoker.model.batch import BatchSystem, Manners
from stoker.model.states import PilotState
from stoker.model.words import shown
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.columns import NAME_LENGTH
from stoker.store.journal import Entry as JournalRow
from stoker.store.journal import append, to_json
from stoker.store.pilots.entries import Entry, change, locked
from stoker.store.pilots.pilots import Pilot, live_pilots, pilots
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_P = tables.pilot
_UID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # none that is taken for another
_UID_LENGTH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How many pilots to submit now, and what else is noted of the batch system.

    `cancel` are waiting pilots that nobody wants any more. `pace` None: as before. The new pilots get
    `time_s`; None: as long as the batch system's settings say.
    """

    submit: int = 0
    wanted: int = 0
    pace: int | None = None
    surplus_us: int | None = None
    cancel: tuple[int, ...] = ()
    time_s: int | None = None


Decide = Callable[[Entry, Sequence[Pilot], int], Decision]


@as_a_whole
def intend(
    store: "Store", system: BatchSystem, decide: Decide, *, project: str, folder: str,
    manners: Manners, is_trial: bool = False,
) -> list[Pilot]:  # fmt: skip
    """As many pilots as `decide` says are intended, and the batch system has what else it says.

    `decide` gets the entry, its live pilots and the time, and nobody else can decide meanwhile. It
    must be quick, and may be called again. Return the new pilots, which the caller submits now;
    `project` is part of their jobs' names, `folder` is where their output goes.
    """
    with store.writing() as unit:
        entry = locked(unit, system.name)
        live = live_pilots(unit, system.name)
        decision = decide(entry, live, unit.now_us)
        _note(unit, entry, decision)
        uids = [_new_uid() for _ in range(decision.submit)]
        for uid in uids:
            row = _row(system, uid, unit.now_us, project=project, folder=folder, manners=manners)
            if decision.time_s is not None:
                row["time_s"] = decision.time_s
            unit.execute(insert(_P).values(**row, is_trial=is_trial))
        query = select(_P).where(_P.c.uid.in_(uids)).order_by(_P.c.id)
        made = pilots(unit, query) if uids else []
        hit("pilot.before_intended")
    hit("pilot.intended")
    return made


def _note(unit: Unit, entry: Entry, decision: Decision) -> None:
    columns: dict[str, Any] = {}
    if decision.pace is not None and decision.pace != entry.pace:
        columns |= {"pace": decision.pace, "paced_us": unit.now_us}
    if decision.wanted != entry.wanted:
        columns["wanted"] = decision.wanted
    if decision.surplus_us != entry.surplus_us:
        columns["surplus_us"] = decision.surplus_us
    if columns:
        change(unit, entry.name, **columns)
    if decision.cancel:
        unit.execute(
            update(_P)
            .where(_P.c.id.in_(decision.cancel), _P.c.cancel_us.is_(None))
            .values(cancel_us=unit.now_us, reason="no work was left for it")
        )


def _new_uid() -> str:
    return "".join(secrets.choice(_UID_LETTERS) for _ in range(_UID_LENGTH))


def name_of(project: str, uid: str) -> str:
    """Return the name of a pilot's job."""
    return f"stoker_{project}_{uid}" if project else f"stoker_{uid}"


def _row(
    system: BatchSystem, uid: str, now_us: int, *, project: str, folder: str, manners: Manners
) -> dict[str, Any]:
    return {
        "uid": uid,
        "batch": system.name,
        "state": PilotState.WAITING.value,
        "name": name_of(project, uid),
        "cpus": system.cpus,
        "memory_bytes": system.memory_bytes,
        "time_s": round(system.time_limit_s),
        "idle_s": max(round(manners.idle_s), 1),
        "tags": None if system.tags is None else to_json(list(system.tags)),  # type: ignore[arg-type]  # JSON
        "intended_us": now_us,
        "is_limit": False,
        "done": 0,
        "log": os.fsencode(f"{folder}/{uid}.log"),
    }


@as_a_whole
def note_submitted(store: "Store", pilot_id: int, job: str, batch_id: str) -> None:
    """The pilot's job is known by its id, unless another process has found it meanwhile."""
    with store.writing() as unit:
        unit.execute(
            update(_P)
            .where(_P.c.id == pilot_id, _P.c.job.is_(None))
            .values(
                job=shown(job)[:NAME_LENGTH],
                batch_id=shown(batch_id)[:NAME_LENGTH],
                submitted_us=unit.now_us,
                refusal=None,
            )
        )
        hit("pilot.before_submitted")


@as_a_whole
def note_refusal(store: "Store", pilot_id: int, text: str, *, is_limit: bool) -> None:
    """The batch system has refused the pilot; the next look, which lacks it, confirms that."""
    with store.writing() as unit:
        unit.execute(
            update(_P)
            .where(_P.c.id == pilot_id, _P.c.job.is_(None))
            .values(refusal=shown(text), is_limit=is_limit, missed_us=unit.now_us)
        )


@as_a_whole
def take_back(store: "Store", pilot_ids: Sequence[int]) -> None:
    """These pilots, which nobody has begun to submit, have never been intended."""
    with store.writing() as unit:
        unit.execute(
            delete(_P).where(_P.c.id.in_(pilot_ids), _P.c.job.is_(None), _P.c.started_us.is_(None))
        )


@as_a_whole
def record(store: "Store", name: str, pilot: Pilot, actor: Actor) -> None:
    """The journal names the person who asked for the pilot."""
    with store.writing() as unit:
        data = {"batch": name, "pilots": [pilot.uid], **actor.data()}
        append(unit, [JournalRow("try_batch", n=0, data=to_json(data))])


@as_a_whole
def order_end(
    store: "Store", name: str, uids: Sequence[str], actor: Actor, *, dry_run: bool = False
) -> list[Pilot]:
    """All live pilots of the batch system, or those named, are to end; return them."""
    with store.writing(dry_run=dry_run) as unit:
        locked(unit, name)
        found = [one for one in live_pilots(unit, name) if not uids or one.uid in uids]
        if not found:
            return []
        why = f"cancelled by {actor.user}" + (f": {actor.reason}" if actor.reason else "")
        unit.execute(
            update(_P)
            .where(_P.c.id.in_([one.id for one in found]), _P.c.cancel_us.is_(None))
            .values(cancel_us=unit.now_us, reason=why)
        )
        data = {"batch": name, "pilots": [one.uid for one in found], **actor.data()}
        append(unit, [JournalRow("cancel_pilots", n=0, data=to_json(data))])
    return found
