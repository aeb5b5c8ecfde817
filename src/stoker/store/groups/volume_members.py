"""The members of a volume with what is packed of them, and the volumes that an item is in."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from stoker.model.member import Member
from stoker.store import tables
from stoker.store.groups.followed import Followed, all_followed
from stoker.store.groups.packed import packed_attempts, packed_files
from stoker.store.rows import VolumeOf
from stoker.store.unit import Unit

_M, _G, _S, _P = tables.member, tables.item_group, tables.source, tables.pipeline


def with_pack(
    unit: Unit, group: Any, members: Sequence[Member], items: Sequence[int]
) -> list[Member]:
    """Return these members of a volume, which are these items, with what goes into it."""
    followed = _followed(unit).get(group.source_id)
    if followed is None:
        return list(members)
    copies = _copies(unit, items, source_id=group.source_id)
    here = {row.item_id: row for row in copies if row.group_id == group.id}
    files = packed_files(unit, followed, {item_id: row.attempt for item_id, row in here.items()})
    newer = {row.item_id for row in copies if row.number is not None and row.number > group.number}
    return [
        replace(member, pack=tuple(files.get(item_id, ())), superseded=item_id in newer)
        for member, item_id in zip(members, items, strict=True)
    ]


def volumes_of(unit: Unit, item_id: int, attempt: bytes | None = None) -> list[VolumeOf]:
    """Return the volumes that the item is in, the first first; with `attempt`, those that hold its outputs."""
    rows = _copies(unit, [item_id])
    if not rows:
        return []
    followed = _followed(unit)
    found = []
    for row in rows:
        if row.number is None:
            continue
        if attempt is not None:
            of = followed.get(row.source_id)
            if of is None or attempt not in packed_attempts(unit, of, {item_id: row.attempt}):
                continue
        is_old = any(
            other.source_id == row.source_id and (other.number or 0) > row.number for other in rows
        )
        found.append(VolumeOf(pipeline=row.pipeline, volume=row.key, superseded=is_old))
    return found


def _followed(unit: Unit) -> dict[int, Followed]:
    return {one.source_id: one for _, _, one in all_followed(unit) if one.group.pack}


def _copies(unit: Unit, items: Sequence[int], *, source_id: int | None = None) -> Sequence[Any]:
    """Return all members that these items are or were of volumes, by number."""
    query = (
        select(
            _M.c.item_id, _M.c.source_id, _M.c.group_id, _M.c.attempt, _G.c.number, _G.c.key,
            _P.c.name.label("pipeline"),
        )
        .select_from(
            _M.join(_G, _G.c.id == _M.c.group_id)
            .join(_S, _S.c.id == _G.c.source_id)
            .join(_P, _P.c.id == _S.c.pipeline_id)
        )
        .where(_M.c.item_id.in_(items), _G.c.number.is_not(None))
        .order_by(_G.c.source_id, _G.c.number)
    )  # fmt: skip
    if source_id is not None:
        query = query.where(_M.c.source_id == source_id)
    rows: Sequence[Any] = unit.execute(query).fetchall()
    return rows
