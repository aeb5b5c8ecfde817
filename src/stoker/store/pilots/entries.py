"""The batch systems of a project: one row each, held, released, and asked how its pilots stand.

The process that decides how many pilots there are to be holds that row for as long: two visits at once never
submit too many.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

from stoker.model.words import shown
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.declared import change_row, differs, is_dropped, locked_row, rows_of
from stoker.store.journal import Entry as JournalRow
from stoker.store.journal import append, to_json
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.model.batch import BatchSystem
    from stoker.store.unit import Store

_B = tables.batch
ITSELF = ""  # holds a batch system after too many failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row of `batch`; the columns are described there."""

    name: str
    settings: Mapping[str, Any]
    digest: str
    set_by: bytes
    is_removed: bool
    held_by: str | None
    reason: str | None
    failed: int
    refused: int
    not_before_us: int | None
    ceiling: int | None
    ceiling_us: int | None
    pace: int
    paced_us: int
    wanted: int
    surplus_us: int | None
    asked_us: int | None
    answered_us: int | None
    trouble: str | None

    @property
    def is_held(self) -> bool:
        """Whether nothing is submitted to it."""
        return self.held_by is not None


def entries(unit: Unit, *, everything: bool = False) -> list[Entry]:
    """Return the batch systems by name; with `everything` those that the file no longer has, too."""
    found = [Entry(**row) for row in rows_of(unit, _B)]
    return [one for one in found if everything or not one.is_removed]


def locked(unit: Unit, name: str) -> Entry:
    """Return the entry, which nobody else changes until the transaction ends; NotFound if none."""
    hint = "`[batch.NAME]` in `stoker.toml` declares them, and the next visit takes them over"
    return Entry(**locked_row(unit, _B, name, kind="batch system", hint=hint))


def change(unit: Unit, name: str, **columns: Any) -> None:
    """The entry has these values."""
    change_row(unit, _B, name, **columns)


@as_a_whole
def set_entries(store: "Store", systems: Sequence["BatchSystem"], *, file: str) -> None:
    """The store has the batch systems of this file; what it no longer says is marked as removed.

    One whose settings have changed goes on, had Stoker itself held it. What another file has set
    stays as it is, unless this one says something of it.
    """
    set_by, wanted = os.fsencode(file), {one.name: one for one in systems}
    with store.reading() as unit:
        if not differs(entries(unit, everything=True), wanted, set_by):
            return
    with store.writing() as unit:
        known = {one.name: one for one in entries(unit, everything=True)}
        for name, system in wanted.items():
            _set(unit, known.get(name), system, set_by)
        for name, entry in known.items():
            if is_dropped(entry, wanted, set_by):
                change(unit, name, is_removed=True)


def _set(unit: Unit, before: Entry | None, system: "BatchSystem", set_by: bytes) -> None:
    if before is not None and not before.is_removed and before.digest == system.digest:
        return
    columns: dict[str, Any] = {
        "settings": to_json(_public(system)),
        "digest": system.digest,
        "set_by": set_by,
        "is_removed": False,
        **_fresh(unit.now_us),
    }
    if before is None or before.held_by == ITSELF:
        columns |= {"held_by": None, "reason": None}
    if before is not None:
        change(unit, system.name, **columns)
        return
    columns |= {"name": system.name, "wanted": 0}
    unit.execute(insert(_B).values(**columns))


def _public(system: "BatchSystem") -> dict[str, Any]:
    """Return what others than the submitting host need to know of it."""
    kept = (
        "system",
        "time_limit_s",
        "cpus",
        "memory_bytes",
        "gpus",
        "max_pilots",
        "tags",
        "ssh",
        "commands",
    )
    return {name: system.data[name] for name in kept}


def _fresh(now_us: int) -> dict[str, Any]:
    """Return an entry's columns at its beginning: nothing has gone wrong yet."""
    from stoker.model.batch import Manners

    return {
        "failed": 0,
        "refused": 0,
        "not_before_us": None,
        "ceiling": None,
        "ceiling_us": None,
        "pace": Manners().first_waiting,
        "paced_us": now_us,
        "surplus_us": None,
    }


@as_a_whole
def hold(store: "Store", name: str, actor: Actor, *, dry_run: bool = False) -> bool:
    """Nothing more is submitted to it until it is released; False if a person holds it already."""
    with store.writing(dry_run=dry_run) as unit:
        entry = locked(unit, name)
        if entry.held_by:
            return False
        change(unit, name, held_by=actor.user, reason=actor.reason)
        _record(unit, "hold_batch", name, actor)
    return True


@as_a_whole
def release(store: "Store", name: str, actor: Actor, *, dry_run: bool = False) -> bool:
    """It goes on, and what went wrong so far is forgotten; False if nothing kept it back."""
    with store.writing(dry_run=dry_run) as unit:
        entry = locked(unit, name)
        is_kept_back = entry.is_held or entry.failed or entry.refused or entry.ceiling is not None
        if not is_kept_back:
            return False
        change(unit, name, held_by=None, reason=None, **_fresh(unit.now_us))
        _record(unit, "release_batch", name, actor)
    return True


def _record(unit: Unit, event: str, name: str, actor: Actor) -> None:
    append(unit, [JournalRow(event, n=0, data=to_json({"batch": name, **actor.data()}))])


@as_a_whole
def note_question(store: "Store", name: str, *, trouble: str | None) -> None:
    """The batch system was asked just now; `trouble` is why it did not answer, None if it did."""
    with store.writing(durable=False) as unit:
        columns: dict[str, Any] = {"asked_us": unit.now_us, "trouble": None}
        if trouble is None:
            columns["answered_us"] = unit.now_us
        else:
            columns["trouble"] = shown(trouble)
        change(unit, name, **columns)
