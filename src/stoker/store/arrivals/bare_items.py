"""Known items without a file and parameters that have changed, as groups do: redone all at once."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import update

from stoker.model.item import NewItem
from stoker.model.saying import NOTHING
from stoker.store import tables
from stoker.store.arrivals.contents import as_all_changed, columns_of
from stoker.store.ends.redo import redo_items
from stoker.store.unit import Prepared, Unit, param

_I = tables.item
_FIELDS = ("params", "said", "meta", "size_bytes", "mtime_us", "fingerprint", "checksum")
_CHANGE = Prepared(
    update(_I)
    .where(_I.c.id == param("of_item"))
    .values(generation=_I.c.generation + 1, **{name: param(name) for name in _FIELDS})
)


def is_bare(row: Any, items: Mapping[str, NewItem]) -> bool:
    """Whether the item is nothing but a key and what is known of it, before and now.

    `row` has its key, id, fingerprint, path and reason.
    """
    key, _, fingerprint, path, reason = row[:5]
    item = items[key]
    has_no_file = path is None and item.path is None and item.mtime_us is None
    is_taken = reason is None and item.reason is None
    is_silent = item.saying is NOTHING and not item.params and item.checksum is None
    return has_no_file and is_taken and is_silent and item.fingerprint != fingerprint


def redo_bare(
    unit: Unit, items: Mapping[int, NewItem], data_of: Callable[[NewItem], str]
) -> Collection[int]:
    """Those of these bare items whose content is new are redone; return their ids.

    Part of the caller's transaction.
    """
    again = as_all_changed(unit, items)
    if again:
        rows = [{"of_item": item_id, **columns_of(item)} for item_id, item in again.items()]
        unit.run_many(_CHANGE, rows)
        data = {item_id: data_of(item) for item_id, item in again.items()}
        redo_items(unit, data, reason="its content changed")
    return again.keys()
