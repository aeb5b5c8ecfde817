"""What a group was made of when an attempt of it began, also if it has changed since: from the journal."""

import json
from typing import Any

from sqlalchemy import select, text

from stoker.store import tables
from stoker.store.dialects.constructs import seldom_key
from stoker.store.journal import SELDOM
from stoker.store.rows import MemberOf
from stoker.store.unit import Unit

EVENT = "members"  # of the journal: what a group was made of
_A, _T, _I, _P, _G, _J = (
    tables.attempt, tables.task, tables.item, tables.pipeline, tables.item_group, tables.journal,
)  # fmt: skip


def made_of(unit: Unit, attempt: bytes) -> tuple[MemberOf, ...] | None:
    """Return the members that the group had for this attempt, by key, with what counted of each.

    None for an item that is not a group, or where the journal says it no longer.
    """
    query = (
        select(
            _A.c.generation, _I.c.key, _I.c.registered_us, _P.c.name.label("pipeline"), _G.c.id.label("group_id")
        )
        .select_from(
            _A.join(_T, _T.c.id == _A.c.task_id)
            .join(_I, _I.c.id == _T.c.item_id)
            .join(_P, _P.c.id == _I.c.pipeline_id)
            .outerjoin(_G, _G.c.item_id == _I.c.id)
        )
        .where(_A.c.id == attempt)
    )  # fmt: skip
    item = unit.execute(query).one_or_none()
    if item is None or item.group_id is None:
        return None
    of: str | None = None
    members: dict[str, dict[str, str | None]] = {}
    for row, said in _said(unit, item):
        if row.event == EVENT:
            fingerprint = str(said.get("of"))
            members.setdefault(fingerprint, {}).update(dict(said["members"]))
            if row.at_us <= item.registered_us:
                of = fingerprint  # those just before the item was there are its first
        elif row.generation is not None and row.generation <= item.generation:
            of = said.get("fingerprint", of)
    found = members.get(of or "")
    if found is None:
        return None
    return tuple(MemberOf(item=key, attempt=_shown(found[key])) for key in sorted(found))


def _said(unit: Unit, item: Any) -> list[tuple[Any, dict[str, Any]]]:
    query = select(_J.c.event, _J.c.at_us, _J.c.generation, _J.c.data).where(
        _J.c.pipeline == item.pipeline,
        seldom_key(_J.c.key) == item.key,
        text(SELDOM),
        _J.c.event.in_((EVENT, "change")),
    )
    rows = unit.execute(query.order_by(_J.c.id)).fetchall()
    return [(row, json.loads(row.data or "{}")) for row in rows]


def _shown(attempt: str | None) -> str | None:
    if not attempt:
        return None
    return f"{attempt[:8]}-{attempt[8:12]}-{attempt[12:16]}-{attempt[16:20]}-{attempt[20:]}"
