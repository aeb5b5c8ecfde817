"""What is known of an item's content and parameters, when it comes again."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import case, func, or_, select, update

from stoker.model.item import NewItem
from stoker.model.saying import has_content
from stoker.store import tables
from stoker.store.journal import Entry, append, to_json
from stoker.store.locks import lock_tasks_of
from stoker.store.orders.adopt import ADOPTED
from stoker.store.unit import Unit

_I, _P, _A = tables.item, tables.pipeline, tables.attempt
_T, _S = tables.task, tables.step
_AT_ONCE = 1_000  # items in a statement
_COARSE_US = 10_000  # that the clock of files may be behind, which moves in ticks


def columns_of(item: NewItem) -> dict[str, Any]:
    """Return the columns that change with an item's content or parameters."""
    return {
        "params": to_json(item.params) if item.params else _NOTHING,
        "said": to_json(item.said) if item.said else None,
        "meta": to_json(item.meta) if item.meta else _NOTHING,
        "size_bytes": item.size_bytes,
        "mtime_us": item.mtime_us,
        "fingerprint": item.fingerprint,
        "checksum": item.checksum,
    }


def as_it_stands(unit: Unit, item: NewItem, item_id: int) -> NewItem:
    """Return a known item as it comes now, with those of its parameters that stand."""
    return _standing(item, _known(unit, item_id))


def as_changed(unit: Unit, item: NewItem, item_id: int) -> NewItem | None:
    """Return a known item with the parameters that stand; None if nothing of it is new.

    Another process may have taken the change in meanwhile. Noted is another time of the same content,
    and that somebody has given a parameter the value that it has.
    """
    known = _known(unit, item_id)
    said = _read(known.said)
    stands = _standing(item, known)
    has_params = stands.params == _read(known.params)
    is_same = has_params and has_content(known.fingerprint, item.content)
    is_touched = (
        has_params
        and item.checksum is not None
        and (item.checksum, item.size_bytes) == (known.checksum, known.size_bytes)
    )
    if not (is_same or is_touched):
        return stands
    if not is_same or stands.said != said:
        _note(unit, item_id, known, stands)
    return None


def as_all_changed(unit: Unit, items: Mapping[int, NewItem]) -> dict[int, NewItem]:
    """Return those of these known items, by id, whose content is new, with the parameters that stand.

    Of items that nobody else changes until the transaction ends. Those of which only the parameters
    changed are left out.
    """
    if not items:
        return {}
    lock_tasks_of(unit, items)
    columns = (_I.c.id, _I.c.fingerprint, _I.c.params, _I.c.said)
    listed = sorted(items)
    found: dict[int, NewItem] = {}
    for at in range(0, len(listed), _AT_ONCE):
        query = select(*columns).where(_I.c.id.in_(listed[at : at + _AT_ONCE])).order_by(_I.c.id)
        for known in unit.execute(query.with_for_update()):
            stands = _standing(items[known.id], known)
            has_params = stands.params == _read(known.params)
            if has_params and not has_content(known.fingerprint, stands.content):
                found[known.id] = stands
    return found


def note_content(unit: Unit, item: NewItem, item_id: int) -> None:
    """A known item has this content from now on, and nothing is redone, unless its parameters differ."""
    known = _known(unit, item_id)
    stands = _standing(item, known)
    is_new = not has_content(known.fingerprint, item.content)
    if is_new and stands.params == _read(known.params):
        _note(unit, item_id, known, stands)


def changed_by_own_step(unit: Unit, item: NewItem, item_id: int) -> str | None:
    """Return the step of a known item that changed its content while it ran; None if none did.

    The new content is the known one then, and nothing is redone: a step that writes to its own input
    would run for ever. Attempts that still run count, and those that failed. Parameters that are new
    are no step's doing.
    """
    if item.mtime_us is None:
        return None
    known = _known(unit, item_id)
    stands = _standing(item, known)
    if stands.params != _read(known.params):
        return None
    began = func.coalesce(_A.c.started_us, _A.c.claimed_us)
    within = (
        began <= item.mtime_us + _COARSE_US,
        or_(_A.c.ended_us.is_(None), _A.c.ended_us >= item.mtime_us),
    )
    query = select(_S.c.name).join(_T, _T.c.step_id == _S.c.id).join(_A, _A.c.task_id == _T.c.id)
    query = query.where(_T.c.item_id == item_id, _A.c.kind != ADOPTED, *within)
    is_sure = case(
        (began <= item.mtime_us, 0), else_=1
    )  # not only by the coarseness of a file's time
    step: str | None = unit.execute(
        query.order_by(is_sure, func.abs(began - item.mtime_us)).limit(1)
    ).scalar()
    if step is not None:
        _note(unit, item_id, known, stands)
    return step


_NOTHING = "{}"


def _read(text: str | None) -> dict[str, Any]:
    """Return a mapping that the store has as JSON. Most are empty, of a hundred thousand groups all."""
    return json.loads(text) if text and text != _NOTHING else {}


def _known(unit: Unit, item_id: int) -> Any:
    """Return what is known of the item, which nobody else changes until the transaction ends."""
    lock_tasks_of(unit, [item_id])
    columns = (_I.c.fingerprint, _I.c.params, _I.c.said, _I.c.checksum, _I.c.size_bytes)
    query = select(*columns, _I.c.key, _I.c.generation, _P.c.name).where(_I.c.id == item_id)
    query = query.join(_P, _P.c.id == _I.c.pipeline_id)
    return unit.execute(query.with_for_update()).one()


def _standing(item: NewItem, known: Any) -> NewItem:
    return item.standing(_read(known.params), _read(known.said))


def _note(unit: Unit, item_id: int, known: Any, item: NewItem) -> None:
    """The item has this content, and these words about its parameters; nothing is redone."""
    same = ("fingerprint", "mtime_us", "size_bytes")
    columns = {name: value for name, value in columns_of(item).items() if name in {*same, "said"}}
    if not has_content(known.fingerprint, item.content):
        columns["checksum"] = item.checksum
    unit.execute(update(_I).where(_I.c.id == item_id).values(**columns))
    noted = {name: columns[name] for name in (*same, "checksum") if name in columns}
    data = to_json({**noted, "said": dict(item.said)})
    append(unit, [Entry("touch", known.name, known.key, generation=known.generation, data=data)])
