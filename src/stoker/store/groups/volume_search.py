"""In which volumes to look for keys and paths, and where their indexes were published."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from stoker.store import tables
from stoker.store.groups.followed import all_followed
from stoker.store.holdings.publications import last_attempt_at
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

_M, _G, _I, _S, _P, _T, _A, _O = (
    tables.member, tables.item_group, tables.item, tables.source, tables.pipeline, tables.task,
    tables.attempt, tables.output,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeToSearch:
    """A complete volume, with what its steps published; `superseded` are names that a later one holds too."""

    pipeline: str
    volume: str
    outputs: tuple[str, ...]
    superseded: set[str] = field(default_factory=set)


def volumes_to_search(
    store: "Store", names: Sequence[str], *, pipeline: str | None = None
) -> Iterator[VolumeToSearch]:
    """Yield the volumes that may hold these keys or paths, in the order in which they were filled.

    All volumes where the store does not know one of the names, as it was pruned.
    """
    with store.reading() as unit:
        followed = {one.source_id: one for name, _, one in all_followed(unit)
                    if one.group.pack and pipeline in (None, name)}  # fmt: skip
        items, is_whole = _items(unit, names, {one.pipeline_id for one in followed.values()})
        copies = _copies(unit, sorted(items))
    wanted = {row.group_id for row in copies} if is_whole else None
    newest: dict[tuple[int, int], int] = {}
    for row in copies:
        of = row.source_id, row.item_id
        newest[of] = max(newest.get(of, 0), row.number)
    old: dict[int, set[str]] = {}
    for row in copies:
        if row.number < newest[row.source_id, row.item_id]:
            old.setdefault(row.group_id, set()).add(row.key)
    for source_id in sorted(followed):
        with store.reading() as unit:
            rows = _volumes(unit, source_id)
        for row in rows:
            if wanted is not None and row.id not in wanted:
                continue
            with store.reading() as unit:
                outputs = _outputs(unit, row.item_id)
            yield VolumeToSearch(
                pipeline=row.pipeline,
                volume=row.key,
                outputs=tuple(outputs),
                superseded=old.get(row.id, set()),
            )


def _items(unit: Unit, names: Sequence[str], pipelines: set[int]) -> tuple[dict[int, str], bool]:
    """Return the items that these keys and paths mean, and whether each name means one."""
    found: dict[int, str] = {}
    is_whole = True
    for name in names:
        query = select(_I.c.id).where(_I.c.key == name, _I.c.pipeline_id.in_(pipelines))
        ids = list(unit.execute(query).scalars())
        if not ids and name.startswith("/"):
            ids = _makers(unit, name)
        found |= dict.fromkeys(ids, name)
        is_whole = is_whole and bool(ids)
    return found, is_whole


def _makers(unit: Unit, path: str) -> list[int]:
    """Return the item whose step published the path, or a folder around it."""
    while path != "/":
        attempt = last_attempt_at(unit, path)
        if attempt is not None:
            query = select(_T.c.item_id).join(_A, _A.c.task_id == _T.c.id)
            return list(unit.execute(query.where(_A.c.id == attempt)).scalars())
        path = os.path.dirname(path)
    return []


def _copies(unit: Unit, items: Sequence[int]) -> Sequence[Any]:
    if not items:
        return ()
    query = select(_M.c.item_id, _M.c.source_id, _M.c.group_id, _G.c.number, _I.c.key).select_from(
        _M.join(_G, _G.c.id == _M.c.group_id).join(_I, _I.c.id == _M.c.item_id)
    )
    rows: Sequence[Any] = unit.execute(
        query.where(_M.c.item_id.in_(items), _G.c.number.is_not(None))
    ).fetchall()
    return rows


def _volumes(unit: Unit, source_id: int) -> Sequence[Any]:
    query = (
        select(_G.c.id, _G.c.key, _G.c.item_id, _P.c.name.label("pipeline"))
        .select_from(_G.join(_S, _S.c.id == _G.c.source_id).join(_P, _P.c.id == _S.c.pipeline_id))
        .where(_G.c.source_id == source_id, _G.c.number.is_not(None), _G.c.item_id.is_not(None))
    )
    rows: Sequence[Any] = unit.execute(query.order_by(_G.c.number)).fetchall()
    return rows


def _outputs(unit: Unit, item_id: int) -> list[str]:
    query = select(_O.c.path).join(_T, _T.c.attempt == _O.c.attempt).where(_T.c.item_id == item_id)
    return sorted(os.fsdecode(bytes(path)) for path in unit.execute(query).scalars())
