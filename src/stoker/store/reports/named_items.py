"""Which items the names in a list mean: keys, paths of items, or of their error folders."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, select

from stoker.model.selection import Selection
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.ids import digest_of

if TYPE_CHECKING:
    from stoker.store.unit import Store, Unit

_I, _P, _F = tables.item, tables.pipeline, tables.error_folder
NAMES = 500  # that are looked up in one transaction
Named = tuple[str, str]  # pipeline and key


def find(
    store: "Store",
    keys: Sequence[str],
    paths: Mapping[str, Sequence[str]],
    *,
    pipeline: str | None,
) -> dict[str, frozenset[Named]]:
    """Return the items that each of `keys` means, by key; those that mean none are left out.

    `paths` has absolute paths that a key may mean too, where no item has it as its key: of an item, or
    of an error folder.
    """
    with store.reading() as unit:
        selections.check(unit, Selection(pipeline=pipeline))
        of = [] if pipeline is None else [_P.c.name == pipeline]
        found: dict[str, set[Named]] = {}
        query = _items().where(selections.has_key(keys), *of)
        for row in unit.execute(query):
            found.setdefault(row.key, set()).add((row.name, row.key))
        wanted = {path: key for key in keys if key not in found for path in paths.get(key, ())}
        for path, named in _at(unit, list(wanted), of):
            found.setdefault(wanted[path], set()).add(named)
    return {key: frozenset(several) for key, several in found.items()}


def _items() -> Select[Any]:
    return select(_P.c.name, _I.c.key).select_from(_I.join(_P, _P.c.id == _I.c.pipeline_id))


def _at(unit: "Unit", paths: Sequence[str], of: Sequence[Any]) -> list[tuple[str, Named]]:
    """Return path and item of each of these paths that is an item's, or an error folder's."""
    if not paths:
        return []
    by_digest = {digest_of(os.fsencode(path)): path for path in paths}
    of_items = _items().add_columns(_I.c.path_digest.label("digest"))
    of_folders = _items().add_columns(_F.c.digest.label("digest"))
    queries = (
        of_items.where(_I.c.path_digest.in_(list(by_digest)), *of),
        of_folders.join(_F, _F.c.item_id == _I.c.id).where(_F.c.digest.in_(list(by_digest)), *of),
    )
    rows = [row for query in queries for row in unit.execute(query).fetchall()]
    return [(by_digest[bytes(row.digest)], (row.name, row.key)) for row in rows]
