"""Old details of the journal: one row of an item replaces many.

The row `condense` holds what `rebuild` would make of all rows of the item before it, so that items,
tasks and attempts can still be made from the journal alone. What is lost is when, and by whom, an
item was held, retried or cancelled.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, select, update

from stoker.failpoints import hit
from stoker.model.states import ItemState
from stoker.store import tables
from stoker.store.database import rebuild
from stoker.store.journal import Entry, append, to_json
from stoker.store.locks import lock_items, lock_tasks_of
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.retention.counts import Pruned
    from stoker.store.unit import Store

_I, _P, _J, _H = tables.item, tables.pipeline, tables.journal, tables.head
WINDOW = 2_000  # numbers looked at in a step
_NOT_NUMBERED = 1 << 62
_OVER = (ItemState.DONE.value, ItemState.FAILED.value, ItemState.CANCELLED.value)


def journal(
    store: "Store",
    before_us: int,
    done: "Pruned",
    *,
    of_known: bool,
    pipeline: str | None,
    dry_run: bool,
) -> Iterator[None]:
    """Older rows about items that were forgotten are gone, and with `of_known` about all that are over."""
    with store.reading() as unit:
        epochs = select(_H.c.epoch).where(_H.c.origin == store.site).order_by(_H.c.epoch)
        heads = unit.execute(epochs).scalars().all()
    for epoch in heads:
        of_epoch = and_(_J.c.origin == store.site, _J.c.epoch == epoch, _J.c.seq.is_not(None))
        is_due = and_(of_epoch, _J.c.at_us < before_us)
        with store.reading() as unit:
            first = unit.execute(select(func.min(_J.c.seq)).where(of_epoch)).scalar()
            last = unit.execute(select(func.max(_J.c.seq)).where(is_due)).scalar()
        if first is None or last is None:
            continue
        query = select(_J.c.id, _J.c.epoch, _J.c.seq, _J.c.pipeline, _J.c.key).where(
            is_due, _J.c.key.is_not(None)
        )
        if pipeline is not None:
            query = query.where(_J.c.pipeline == pipeline)
        for low in range(first, last + 1, WINDOW):
            window = _J.c.seq.between(low, low + WINDOW - 1)
            with store.reading() as unit:
                rows = unit.execute(query.where(window)).fetchall()
            if rows:
                _condense(store, rows, done, of_known=of_known, dry_run=dry_run)
            yield


@as_a_whole
def _condense(
    store: "Store", rows: Sequence[Any], done: "Pruned", *, of_known: bool, dry_run: bool
) -> None:
    with store.writing(dry_run=dry_run) as unit:
        known = _items(unit, rows)
        ids = [one.id for one in known.values()]
        lock_tasks_of(unit, ids)
        lock_items(unit, ids)
        known = _items(unit, rows)
        told = {name: _place(one.told_epoch, one.told_seq) for name, one in known.items()}
        fresh = [
            name
            for name, one in known.items()
            if of_known
            and one.state in _OVER
            and any(
                (row.epoch, row.seq) > told[name] for row in rows if (row.pipeline, row.key) == name
            )
        ]
        told |= dict.fromkeys(fresh, _place(store.epoch, None))
        _tell(unit, fresh, known)
        gone = [
            row
            for row in rows
            if (row.pipeline, row.key) not in known
            or (row.epoch, row.seq) < told[row.pipeline, row.key]
        ]
        _delete(unit, gone)
        hit("condense.before_commit")
    done.journal_rows += len(gone)
    done.condensed += sum((row.pipeline, row.key) in known for row in gone)


def _items(unit: Unit, rows: Sequence[Any]) -> dict[tuple[str, str], Any]:
    """Return what there is of the items that these rows speak of, by pipeline and key."""
    keys: dict[str, set[str]] = {}
    for row in rows:
        keys.setdefault(row.pipeline, set()).add(row.key)
    found: dict[tuple[str, str], Any] = {}
    columns = (
        _I.c.id, _I.c.key, _I.c.state, _I.c.generation, _J.c.epoch.label("told_epoch"),
        _J.c.seq.label("told_seq"),
    )  # fmt: skip
    for name, several in keys.items():
        of_item = _I.join(_P, _P.c.id == _I.c.pipeline_id)
        query = select(*columns).select_from(of_item.outerjoin(_J, _J.c.id == _I.c.journal_from))
        query = query.where(_P.c.name == name, _I.c.key.in_(sorted(several)))
        found |= {(name, row.key): row for row in unit.execute(query)}
    return found


def _tell(unit: Unit, names: Sequence[tuple[str, str]], known: dict[tuple[str, str], Any]) -> None:
    """Append a row for each of these items that holds all of it, and note at the item which it is."""
    if not names:
        return
    picture = rebuild.snapshot(unit, items=[known[name].id for name in names])
    told = rebuild.told(picture)
    last = unit.execute(select(func.max(_J.c.id))).scalar_one()
    append(
        unit,
        [
            Entry(
                "condense", *name, generation=known[name].generation, n=0, data=to_json(told[name])
            )
            for name in names
        ],
    )
    query = select(_J.c.id, _J.c.pipeline, _J.c.key).where(
        _J.c.id > last, _J.c.event == "condense", _J.c.seq.is_(None)
    )
    ids = {(row.pipeline, row.key): row.id for row in unit.execute(query)}
    for name in names:
        where = _I.c.id == known[name].id
        unit.execute(update(_I).where(where).values(journal_from=ids[name]))


def _place(epoch: int | None, seq: int | None) -> tuple[int, int]:
    """The place of an item's row that holds all before it; one without a number is behind all."""
    if epoch is None:
        return (0, 0)
    return (epoch, seq if seq is not None else _NOT_NUMBERED)


def _delete(unit: Unit, rows: Sequence[Any]) -> None:
    """Delete these rows, and count them as pruned in the head of their epoch."""
    epochs = {row.epoch for row in rows}
    for epoch in sorted(epochs):
        ids = [row.id for row in rows if row.epoch == epoch]
        n = unit.execute(delete(_J).where(_J.c.id.in_(ids))).rowcount
        own = and_(_H.c.origin == unit.store.site, _H.c.epoch == epoch)
        unit.execute(update(_H).where(own).values(pruned=_H.c.pruned + n))
