"""One item, by its key or its path."""

import os
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select

from stoker.errors import NotFound, UserError
from stoker.model.selection import Selection
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.dialects.constructs import globs
from stoker.store.ids import digest_of
from stoker.store.reports.lists import item_columns
from stoker.store.reports.searching import AMONG, in_order_of_keys
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

_I, _P = tables.item, tables.pipeline
_NEAR = 3
_SHOWN = 5


def find_item(unit: Unit, key: str, *, pipeline: str | None = None) -> Any:
    """Return the row of the item of that key, or whose path that is.

    NotFound names keys that are near; UserError where two pipelines have it.
    """
    query = select(_I.c.id, _I.c.pipeline_id, _P.c.name.label("pipeline"), *item_columns())
    query = query.join(_P, _P.c.id == _I.c.pipeline_id)
    if pipeline is not None:
        selections.check(unit, Selection(pipeline=pipeline))
        query = query.where(_P.c.name == pipeline)
    path = os.fsencode(os.path.realpath(key)) if "\0" not in key else b""
    at_path = and_(_I.c.path_digest == digest_of(path), _I.c.path == path)
    for condition in (selections.has_key([key]), at_path):
        rows = unit.execute(query.where(condition).order_by(_P.c.name)).fetchall()
        if len(rows) > 1:
            names = " and of ".join(f"`{row.pipeline}`" for row in rows)
            raise UserError(f"`{key}` is an item of {names}; say which with `--pipeline`")
        if rows:
            return rows[0]
    raise NotFound(f"there is no item `{key}`{_near(unit, key)}")


def find_key(store: "Store", text: str, *, pipeline: str | None = None) -> tuple[str, str] | None:
    """Return pipeline and key of the only item whose key fits a glob, or has this text in it.

    None if no item does, or one has exactly this key. UserError names some where several do.
    """
    if not text or "\0" in text:
        return None
    query = select(_P.c.name, _I.c.key).join(_P, _P.c.id == _I.c.pipeline_id)
    if pipeline is not None:
        query = query.where(_P.c.name == pipeline)
    is_glob = selections.is_glob(text)
    with store.reading() as unit:
        if unit.execute(query.where(selections.has_key([text])).limit(1)).first() is not None:
            return None
        fits = query.where(globs(_I.c.key, text if is_glob else f"*{text}*"))
        found = unit.execute(fits.order_by(_I.c.key).limit(_SHOWN + 1)).fetchall()
    if len(found) > 1:
        names = ", ".join(f"`{row.key}`" for row in found[:_SHOWN])
        more = ", …" if len(found) > _SHOWN else ""
        how = "fits" if is_glob else "is part of"
        raise UserError(
            f"`{text}` {how} several keys: {names}{more}; give more of the one you mean"
        )
    return (found[0].name, found[0].key) if found else None


def _near(unit: Unit, key: str) -> str:
    """Return keys that end or begin like this one, as the end of a message."""
    near = _beginning(unit, key) or _ending(unit, key.rstrip("/").rpartition("/")[2])
    if near:
        return "; did you mean " + " or ".join(f"`{one}`" for one in near) + "?"
    return "; `stoker items` lists them"


def _beginning(unit: Unit, key: str) -> list[str]:
    """Return a few keys that begin like this one, by the index that each pipeline has of its own."""
    found: list[str] = []
    for pipeline_id in unit.execute(select(_P.c.id).order_by(_P.c.name)).scalars().all():
        within = (_I.c.pipeline_id == pipeline_id, _I.c.key > key, _I.c.key < key + "\U0010ffff")
        query = in_order_of_keys(select(_I.c.key).where(*within))
        found += unit.execute(query.limit(_NEAR - len(found))).scalars().all()
        if len(found) == _NEAR:
            break
    return found


def _ending(unit: Unit, name: str) -> list[str]:
    """Return a few keys whose last part is this, of the items that were registered last."""
    newest = select(_I.c.id, _I.c.key).where(_I.c.id >= 0).order_by(_I.c.id.desc())
    some = newest.limit(AMONG).subquery()
    query = select(some.c.key).where(some.c.key.endswith(f"/{name}", autoescape=True))
    return list(unit.execute(query.order_by(some.c.id).limit(_NEAR)).scalars().all())
