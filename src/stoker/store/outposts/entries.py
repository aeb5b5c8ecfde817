"""The outposts of a project: one row each, held, released, and what was last heard of it.

For an outpost stands a worker that never renews a lease: its attempts are lost when a visit finds
that nobody there holds them any more, or when a person drops the outpost, and never by silence.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from stoker.model.id_types import HERE, AttemptId, WorkerId
from stoker.model.lease_kind import LeaseKind
from stoker.model.states import AttemptState, WorkerState
from stoker.model.words import shown
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.apply import add_worker, end_worker
from stoker.store.declared import change_row, differs, is_dropped, locked_row, rows_of
from stoker.store.holdings.places import place_of
from stoker.store.journal import Entry as JournalRow
from stoker.store.journal import append, to_json
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.model.outpost import Outpost
    from stoker.store.unit import Store

_O, _W, _A = tables.outpost, tables.worker, tables.attempt
_FAR_FUTURE_US = 253_370_764_800_000_000  # the year 9999, of a lease that does not run out


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row of `outpost`; the columns are described there."""

    name: str
    settings: Mapping[str, Any]
    digest: str
    set_by: bytes
    is_removed: bool
    held_by: str | None
    reason: str | None
    place: int
    worker_id: int | None
    tried_us: int | None
    answered_us: int | None
    trouble: str | None
    told: Mapping[str, Any]

    @property
    def outpost(self) -> "Outpost":
        """The same as the file has it."""
        from stoker.model.outpost import Outpost
        from stoker.spec.revive import revive

        found: Outpost = revive(Outpost, dict(self.settings))
        return found


def entries(unit: Unit, *, everything: bool = False) -> list[Entry]:
    """Return the outposts by name; with `everything` those that the file no longer has, too."""
    found = [_entry(row) for row in rows_of(unit, _O)]
    return [one for one in found if everything or not one.is_removed]


def locked(unit: Unit, name: str) -> Entry:
    """Return the entry, which nobody else changes until the transaction ends; NotFound if none."""
    hint = "`[sites.NAME]` in `stoker.toml` declares them"
    return _entry(locked_row(unit, _O, name, kind="site", hint=hint))


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(**{**row, "told": json.loads(row["told"]) if row["told"] else {}})


@as_a_whole
def set_entries(store: "Store", outposts: Sequence["Outpost"], *, file: str) -> None:
    """The store has the outposts of this file; what it no longer says is marked as removed."""
    set_by, wanted = os.fsencode(file), {one.name: one for one in outposts}
    with store.reading() as unit:
        if not differs(entries(unit, everything=True), wanted, set_by):
            return
    with store.writing() as unit:
        known = {one.name: one for one in entries(unit, everything=True)}
        for name, one in wanted.items():
            columns = {
                "settings": to_json(one.data), "digest": one.digest, "set_by": set_by,
                "is_removed": False,
            }  # fmt: skip
            if name in known:
                change_row(unit, _O, name, **columns)
            else:
                place = HERE if one.is_shared else place_of(unit, name)
                unit.execute(insert(_O).values(name=name, place=place, **columns))
        for name, entry in known.items():
            if is_dropped(entry, wanted, set_by):
                change_row(unit, _O, name, is_removed=True)
    store.catalog = None


@as_a_whole
def join(
    store: "Store", name: str, *, cpus: int, memory_bytes: int, tags: Sequence[str] = ()
) -> WorkerId:
    """A living worker, of so many cpus and bytes, stands for the outpost; return its id."""
    from stoker.model.outpost import host_of

    with store.writing() as unit:
        entry = locked(unit, name)
        room: dict[str, Any] = {"cpus": cpus, "slots": cpus, "memory_bytes": memory_bytes}
        room["tags"] = json.dumps(sorted(set(tags))) if tags else None
        if entry.worker_id is not None:
            is_own = (_W.c.id == entry.worker_id) & (_W.c.state == WorkerState.ALIVE.value)
            if unit.execute(update(_W).where(is_own).values(**room)).rowcount:
                return WorkerId(entry.worker_id)
        worker_id = add_worker(
            unit,
            {
                "host": host_of(name), "name": name, "pid": 0, "scratch": b"", "boot_id": "",
                "room_key": "", "cpu_mask": "", "started_us": unit.now_us,
                "lease_until_us": _FAR_FUTURE_US, "lease_kind": LeaseKind.DETACHED.value, **room,
            },
        )  # fmt: skip
        change_row(unit, _O, name, worker_id=worker_id)
    return WorkerId(worker_id)


@as_a_whole
def note_visit(
    store: "Store", name: str, *, trouble: str | None, told: Mapping[str, Any] | None = None
) -> None:
    """The outpost was visited just now; `trouble` is why that was not complete, None if it was."""
    with store.writing(durable=False) as unit:
        columns: dict[str, Any] = {"tried_us": unit.now_us, "trouble": None}
        if trouble is None:
            columns |= {"answered_us": unit.now_us, "told": to_json(dict(told or {}))}
        else:
            columns["trouble"] = shown(trouble)
        change_row(unit, _O, name, **columns)


@as_a_whole
def note_batch_jobs(store: "Store", jobs: Mapping[AttemptId, str]) -> None:
    """Running attempts show the batch jobs, as `CLUSTER:JOB.RESTART`, in which they ran at an outpost."""
    if not jobs:
        return
    with store.writing(durable=False) as unit:
        for attempt, batch_id in jobs.items():
            is_it = (_A.c.id == attempt) & (_A.c.state == AttemptState.RUNNING.value)
            unit.execute(update(_A).where(is_it).values(batch_id=batch_id))


@as_a_whole
def note_nodes(store: "Store", nodes: Mapping[AttemptId, str]) -> None:
    """Running attempts show the nodes of an outpost on which they run."""
    if not nodes:
        return
    with store.writing(durable=False) as unit:
        for attempt, node in nodes.items():
            is_it = (_A.c.id == attempt) & (_A.c.state == AttemptState.RUNNING.value)
            unit.execute(update(_A).where(is_it).values(node=node))


@as_a_whole
def hold(store: "Store", name: str, actor: Actor, *, dry_run: bool = False) -> bool:
    """It is given nothing new until it is released; False if it is held already."""
    with store.writing(dry_run=dry_run) as unit:
        if locked(unit, name).held_by is not None:
            return False
        change_row(unit, _O, name, held_by=actor.user, reason=actor.reason)
        _record(unit, "hold_site", name, actor)
    return True


@as_a_whole
def release(store: "Store", name: str, actor: Actor, *, dry_run: bool = False) -> bool:
    """It is given work again, and gets pilots; False if nobody held it, and nothing kept them away."""
    with store.writing(dry_run=dry_run) as unit:
        entry = locked(unit, name)
        if entry.held_by is None and not entry.told.get("system_trouble"):
            return False
        told = to_json({**entry.told, "resumes": True})
        change_row(unit, _O, name, held_by=None, reason=None, told=told)
        _record(unit, "release_site", name, actor)
    return True


@as_a_whole
def drop(store: "Store", name: str, actor: Actor, *, dry_run: bool = False) -> int:
    """What is out there is lost, once `reap` has looked; return how many attempts that are.

    What still runs there records nothing any more. Nothing new is given to it until it is released.
    """
    with store.writing(dry_run=dry_run) as unit:
        entry = locked(unit, name)
        out = 0
        if entry.worker_id is not None:
            out = out_of(unit, entry.worker_id)
            end_worker(unit, entry.worker_id, WorkerState.DEAD)
        change_row(unit, _O, name, worker_id=None, held_by=actor.user, reason=actor.reason)
        _record(unit, "drop_site", name, actor)
    return out


def out_of(unit: Unit, worker_id: int) -> int:
    """Return how many attempts are out at the outpost for which the worker stands."""
    mine = (_A.c.worker_id == worker_id) & (_A.c.state == AttemptState.RUNNING.value)
    return int(unit.execute(select(func.count()).select_from(_A).where(mine)).scalar_one())


def _record(unit: Unit, event: str, name: str, actor: Actor) -> None:
    append(unit, [JournalRow(event, n=0, data=to_json({"site": name, **actor.data()}))])
