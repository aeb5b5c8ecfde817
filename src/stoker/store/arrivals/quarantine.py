"""Items in quarantine: they have no tasks, only the reason why they could not be taken."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from stoker.model.item import NewItem
from stoker.model.selection import Selection
from stoker.model.states import ItemState
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.forecasts.freshness import catch_up
from stoker.store.paging import Listed, pages
from stoker.store.picking import pick_items
from stoker.store.story_rows import FailureRow

if TYPE_CHECKING:
    from stoker.store.unit import Store

_I, _P = tables.item, tables.pipeline
_EXAMPLES = 3
FOLD_LIMIT_S = 10.0
_COLUMNS = (
    _I.c.id, _I.c.id.label("item_id"), _I.c.state, _I.c.key, _I.c.path, _I.c.params, _I.c.meta,
    _I.c.size_bytes, _I.c.mtime_us, _I.c.fingerprint, _I.c.priority, _I.c.reason,
    _P.c.name.label("pipeline"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An item in quarantine, as it was when it came there."""

    pipeline: str
    item: NewItem


def is_about(selection: Selection) -> bool:
    """Whether items in quarantine may be meant, which have neither steps nor attempts."""
    wanted = {ItemState.QUARANTINED.word, "failed"}
    return not (selection.steps or selection.cause) and (
        not selection.states or bool(wanted.intersection(selection.states))
    )


def taken_as(store: "Store", pipeline: str, keys: Sequence[str]) -> dict[str, str | None]:
    """Return the fingerprints of those of these items that are known and not in quarantine."""
    query = (
        select(_I.c.key, _I.c.fingerprint)
        .join(_P, _P.c.id == _I.c.pipeline_id)
        .where(
            _P.c.name == pipeline,
            _I.c.key.in_(list(keys)),
            _I.c.state != ItemState.QUARANTINED,
        )
    )
    with store.reading() as unit:
        return {row.key: row.fingerprint for row in unit.execute(query)}


def quarantined(store: "Store", selection: Selection) -> Iterator[list[Quarantined]]:
    """Yield the selected items that are in quarantine, in pages."""
    for rows in _pages(store, selection):
        yield [
            Quarantined(
                row.pipeline,
                NewItem(
                    key=row.key,
                    path=os.fsdecode(row.path) if row.path is not None else None,
                    params=json.loads(row.params),
                    meta=json.loads(row.meta),
                    size_bytes=row.size_bytes,
                    mtime_us=row.mtime_us,
                    fingerprint=row.fingerprint,
                    priority=row.priority,
                    reason=row.reason,
                ),
            )
            for row in rows
        ]


def _pages(store: "Store", selection: Selection) -> Iterator[Sequence[Any]]:
    states = (ItemState.QUARANTINED.word,)
    chosen = replace(selection, states=states, match=None, steps=(), cause=None)
    with store.reading() as unit:
        selections.check(unit, chosen)
        picked = pick_items(unit, chosen)
    query = selections.item_query(picked.rest, *_COLUMNS).where(_I.c.reason.is_not(None))
    if selection.match is not None:
        query = query.where(selections.says(selection.match, _I.c.reason))
    where = selections.where_filter(selection)
    return pages(store, Listed(query, _I.c.id, where, kind=ItemState, pick=picked.pick))


def _may_be_any(store: "Store") -> bool:
    """Whether the counts, brought up to date, have an item in quarantine.

    Not every database has an index of these, and looking through all items would take seconds.
    """
    if not catch_up(store, fold_s=FOLD_LIMIT_S):
        return True
    of = tables.item_tally
    query = select(of.c.n).where(of.c.state == ItemState.QUARANTINED.value, of.c.n > 0).limit(1)
    with store.reading() as unit:
        return unit.execute(query).first() is not None


def reasons(store: "Store", selection: Selection) -> list[FailureRow]:
    """Return the selected items in quarantine by their reasons, as failures without a step."""
    if not (is_about(selection) and _may_be_any(store)):
        return []
    groups: dict[tuple[str, str], list[str]] = {}
    for rows in _pages(store, selection):
        for row in rows:
            groups.setdefault((row.pipeline, row.reason), []).append(row.key)
    return [
        FailureRow(
            pipeline=pipeline,
            step=None,
            cause=reason,
            n=len(keys),
            say=None,
            do="put it right, then `stoker retry --state quarantined` takes it",
            reason=None,
            examples=tuple(keys[:_EXAMPLES]),
        )
        for (pipeline, reason), keys in groups.items()
    ]
