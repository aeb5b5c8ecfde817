"""The pipelines of the store as they are offered to clients: each in its current version."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from stoker.model.id_types import VersionId
from stoker.model.pipeline import Pipeline
from stoker.store import tables
from stoker.store.catalog import catalog, pipeline_of
from stoker.store.unit import Prepared, param_list

if TYPE_CHECKING:
    from stoker.store.unit import Store

_V = tables.version
_NUMBERS = Prepared(select(_V.c.id, _V.c.number).where(_V.c.id.in_(param_list("ids"))))


@dataclass(frozen=True, slots=True)
class Offered:
    """A pipeline, the number of its current version, and that version's id."""

    pipeline: Pipeline
    number: int
    version: VersionId


def offered(store: "Store") -> Mapping[str, Offered]:
    """Return the current pipelines by name; read again only when one of them has changed."""
    with store.reading() as unit:
        known = catalog(unit)
        found: Mapping[str, Offered] | None = known.notes.get(offered)
        if found is None:
            ids = list(known.current.values())
            rows = unit.run(_NUMBERS, ids=ids).fetchall() if ids else []
            numbers = dict(tuple(row) for row in rows)
            found = {
                name: Offered(pipeline_of(unit, version), numbers[version], version)
                for name, version in sorted(known.current.items())
            }
            known.notes[offered] = found
    return found
