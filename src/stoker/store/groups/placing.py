"""Which members each group has: items are put into groups, moved between them, and taken out."""

import json
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, null, select, update

from stoker.model.states import ItemState, MemberState
from stoker.spec.group_sources import ALL
from stoker.spec.membership import Membership, Placed
from stoker.store import tables
from stoker.store.groups.conditions import WAITING
from stoker.store.groups.followed import Followed
from stoker.store.groups.member_states import Standing
from stoker.store.unit import Prepared, Unit, param, param_list

_I, _M, _G = tables.item, tables.member, tables.item_group
ITEM_COLUMNS = (
    _I.c.id, _I.c.key, _I.c.path, _I.c.params, _I.c.meta, _I.c.size_bytes, _I.c.registered_us, _I.c.state,
)  # fmt: skip
_KNOWN = Prepared(
    select(_M.c.item_id, _M.c.group_id, _M.c.expected, _M.c.fault, _M.c.size_bytes).where(
        _M.c.item_id.in_(param_list("items")), _M.c.source_id == param("source_id"), _M.c.copy == 0
    )
)
_GROUPS = Prepared(
    select(_G.c.key, _G.c.id).where(
        _G.c.source_id == param("source_id"), _G.c.key.in_(param_list("keys"))
    )
)
_PLACE = Prepared(
    update(_M)
    .where(
        _M.c.item_id == param("of_item"), _M.c.source_id == param("of_source"), _M.c.copy == 0
    )
    .values(
        group_id=param("group_id"), expected=param("expected"), fault=param("fault"),
        size_bytes=param("size_bytes"), added_us=param("added_us"), told_state=null(), told_tries=null(),
    )
)  # fmt: skip
_NOTE = Prepared(
    update(_M)
    .where(_M.c.item_id == param("of_item"), _M.c.source_id == param("of_source"), _M.c.copy == 0)
    .values(expected=param("expected"), fault=param("fault"), size_bytes=param("size_bytes"))
)
_GROUP_FIELDS = (
    "source_id", "key", "revision", "due_us", "members", "over_n", "done_n", "bad_n", "changed_n",
    "ignored_n", "forgotten_n", "since_us", "added_us",
)  # fmt: skip
_MEMBER_FIELDS = (
    "item_id", "source_id", "copy", "group_id", "state", "tries", "attempt", "expected", "size_bytes", "added_us",
    "fault", "is_forgotten",
)  # fmt: skip


_OPEN = Standing(MemberState.OPEN.value, 0, None)
_NONE: Mapping[int, Standing] = {}


@dataclass(frozen=True, slots=True)
class _Place:
    """An item, and where it belongs."""

    item: Any
    placed: Placed


def place(
    unit: Unit,
    followed: Followed,
    membership: Membership,
    items: Sequence[Any],
    standing: Mapping[int, Standing] = _NONE,
) -> tuple[set[int], set[int]]:
    """Each of these items is in the group where it belongs; return the groups that changed.

    Those that are new are not among them: they are to be counted in any case. And the items that are new members, which stand as `standing` has it. `items` are rows of
    `ITEM_COLUMNS`.
    """
    if not items:
        return set(), set()
    known = {
        row[0]: row
        for row in unit.run(
            _KNOWN, items=[row.id for row in items], source_id=followed.source_id
        ).fetchall()
    }
    places = [_Place(row, _placed(followed, membership, row)) for row in items]
    groups, made = _groups(unit, followed, places, known)
    waiting_id = waiting_group(unit, followed)
    changed: set[int] = set()
    fresh, moved, noted = [], [], []
    arrivals: dict[int, list[int]] = {}
    for one in places:
        row, placed = one.item, one.placed
        group_id = groups.get(placed.group) if placed.group is not None else None
        before = known.get(row.id)
        size = 0 if followed.group.volume_bytes is not None else row.size_bytes or 0
        facts = {"expected": placed.expected, "fault": placed.fault, "size_bytes": size}
        if before is None:
            now = standing.get(row.id, _OPEN)
            fresh.append(
                (
                    row.id, followed.source_id, 0, group_id, *now, placed.expected, size,
                    row.registered_us, placed.fault, False,
                )
            )  # fmt: skip
            if group_id is not None and group_id not in made:
                arrivals.setdefault(group_id, []).append(row.registered_us)
        elif followed.group.volume_bytes is not None and before[1] not in (None, waiting_id):
            continue  # it is in a volume, and stays there
        elif before[1] != group_id:
            where = {"of_item": row.id, "of_source": followed.source_id}
            moved.append({**where, "group_id": group_id, "added_us": unit.now_us, **facts})
            changed |= {before[1]} if before[1] is not None else set()
            if group_id is not None:
                arrivals.setdefault(group_id, []).append(unit.now_us)
        elif tuple(before[2:5]) != tuple(facts.values()):
            noted.append({"of_item": row.id, "of_source": followed.source_id, **facts})
            changed |= {group_id} if group_id is not None else set()
    if fresh:
        unit.insert(_M, _MEMBER_FIELDS, fresh)
    unit.run_many(_PLACE, moved)
    unit.run_many(_NOTE, noted)
    _note_arrivals(unit, arrivals)
    return changed | arrivals.keys(), {row[0] for row in fresh}


_ALL = Placed(ALL)
_NOTHING: Mapping[str, Any] = {}


def waiting_group(unit: Unit, followed: Followed) -> int | None:
    """Return the group of members that wait to be put into a volume; None if there is none."""
    if followed.group.volume_bytes is None:
        return None
    where = _G.c.source_id == followed.source_id, _G.c.key == WAITING
    found: int | None = unit.execute(select(_G.c.id).where(*where)).scalar()
    return found


def _placed(followed: Followed, membership: Membership, row: Any) -> Placed:
    if membership.is_constant:
        placed = _ALL
    else:
        placed = membership.place(
            row.key,
            path=None if row.path is None else os.fsdecode(row.path),
            params=_NOTHING if row.params == "{}" else json.loads(row.params),
            meta=_NOTHING if row.meta == "{}" else json.loads(row.meta),
            registered_us=row.registered_us,
        )
    if placed.fault is not None and row.state == ItemState.QUARANTINED.value:
        return Placed()  # it is reported as such, and is placed once it is taken
    if followed.group.volume_bytes is not None and placed.group is not None:
        return Placed(WAITING)
    return placed


def _groups(
    unit: Unit, followed: Followed, places: Sequence[_Place], known: Container[int]
) -> tuple[dict[str, int], set[int]]:
    """Return the ids of the groups of these items, by key, and which of them were made just now.

    Those that are new begin with the times of their new members, which are not `known`.
    """
    keys = list(dict.fromkeys(one.placed.group for one in places if one.placed.group is not None))
    if not keys:
        return {}, set()
    source_id = followed.source_id
    found = {row[0]: row[1] for row in unit.run(_GROUPS, source_id=source_id, keys=keys).fetchall()}
    found = {_text(key): group_id for key, group_id in found.items()}
    missing = [key for key in keys if key not in found]
    if not missing:
        return found, set()
    times: dict[str | None, list[int]] = {key: [] for key in missing}
    for one in places:
        if one.placed.group in times and one.item.id not in known:
            times[one.placed.group].append(one.item.registered_us)
    rows = [
        (source_id, key, *[0] * 9, min(several, default=_NEVER_US), max(several, default=0))
        for key, several in times.items()
    ]
    unit.insert(_G, _GROUP_FIELDS, rows)
    made = {
        _text(row[0]): row[1]
        for row in unit.run(_GROUPS, source_id=source_id, keys=missing).fetchall()
    }
    return found | made, set(made.values())


_NEVER_US = (1 << 62) - 1


def _text(key: str | bytes) -> str:
    return os.fsdecode(key) if isinstance(key, bytes) else key


def _note_arrivals(unit: Unit, arrivals: dict[int, list[int]]) -> None:
    """Groups remember when their first and their last new member came."""
    rows = [
        {"of_group": group, "first_us": min(times), "last_us": max(times)}
        for group, times in arrivals.items()
    ]
    unit.run_many(_ARRIVED, rows)


_ARRIVED = Prepared(
    update(_G)
    .where(_G.c.id == param("of_group"))
    .values(
        since_us=case((_G.c.since_us > param("first_us"), param("first_us")), else_=_G.c.since_us),
        added_us=case((_G.c.added_us < param("last_us"), param("last_us")), else_=_G.c.added_us),
    )
)


def mark_changed(unit: Unit, groups: Iterable[int]) -> None:
    """These groups are to be counted, and decided about, again."""
    listed = sorted(groups)
    for at in range(0, len(listed), _PAGE):
        some = listed[at : at + _PAGE]
        unit.run(_CHANGED, groups=some)


_PAGE = 2_000
_CHANGED = Prepared(
    update(_G).where(_G.c.id.in_(param_list("groups"))).values(revision=_G.c.revision + 1, due_us=0)
)


def lacks_member(group_id: Any) -> Any:
    """The condition that a group has no member."""
    return ~select(_M.c.item_id).where(and_(_M.c.group_id == group_id)).exists()
