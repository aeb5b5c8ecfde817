"""Places: where a published path is. The same text at two places is two files.

Place 0 is here, and has no row; another is one where attempts of this store run and leave their
outputs. It has a number in this store and a name that means the same to others.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from stoker.errors import NotFound
from stoker.model.id_types import HERE
from stoker.store import tables
from stoker.store.ids import digest_of
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.model.task import Published

_P = tables.place


def place_of(unit: Unit, name: str) -> int:
    """Return the number of the place of that name, which is known from now on."""
    found = unit.execute(select(_P.c.id).where(_P.c.name == name)).scalar()
    if found is None:
        last = unit.execute(select(_P.c.id).order_by(_P.c.id.desc()).limit(1)).scalar()
        found = (last or HERE) + 1
        unit.execute(insert(_P).values(id=found, name=name))
    return int(found)


def name_of(unit: Unit, place: int) -> str | None:
    """Return what the place is called, None for here; NotFound if there is no such place."""
    if place == HERE:
        return None
    found: str | None = unit.execute(select(_P.c.name).where(_P.c.id == place)).scalar()
    if found is None:
        raise NotFound(f"the store knows no place {place}; `place_of` makes one known")
    return found


def digest_at(path: bytes, place: int) -> bytes:
    """Return 16 bytes that stand for a path at a place."""
    return digest_of(path if place == HERE else b"%d\0%s" % (place, path))  # no path has a NUL


def output_rows(
    attempt: bytes, outputs: Sequence["Published"], place: int = HERE
) -> list[dict[str, Any]]:
    """Return the rows of an attempt's outputs; of one name, they are counted from nought."""
    positions: dict[str, int] = {}
    rows = []
    for one in outputs:
        position = positions.get(one.name, 0)
        positions[one.name] = position + 1
        rows.append(
            {
                "attempt": attempt, "name": one.name, "position": position,
                "path": os.fsencode(one.path), "place": place, "size_bytes": one.size_bytes,
                "checksum": one.checksum,
            }
        )  # fmt: skip
    return rows
