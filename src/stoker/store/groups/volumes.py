"""Volumes: members that are done fill one after another, and each volume that is full is a group (G8).

A volume that is not the newest takes no more members, whatever leaves it. Placement is one transaction
with the opening of the next volume.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, null, or_, select, update

from stoker.failpoints import hit
from stoker.model.states import MemberState
from stoker.model.volume import capacity_bytes, room_bytes
from stoker.store import tables
from stoker.store.groups.followed import Followed
from stoker.store.groups.locking import lock_source
from stoker.store.groups.member_states import as_tasks_say
from stoker.store.groups.packed import packed_files, parts_n
from stoker.store.groups.placing import mark_changed, waiting_group
from stoker.store.unit import Prepared, Unit, as_a_whole, param

if TYPE_CHECKING:
    from stoker.store.unit import Store

_AT_ONCE = 1_000  # members in a transaction
_READY = (MemberState.DONE.value, MemberState.SKIPPED.value)

_M, _G, _I = tables.member, tables.item_group, tables.item
_PUT = Prepared(
    update(_M)
    .where(_M.c.item_id == param("of_item"), _M.c.source_id == param("of_source"), _M.c.copy == 0)
    .values(
        group_id=param("group_id"), size_bytes=param("size_bytes"), added_us=param("added_us"),
        fault=param("fault"), told_state=null(), told_tries=null(),
    )
)  # fmt: skip


@dataclass(slots=True)
class _Volume:
    """The volume that members go into now."""

    id: int
    number: int
    used_bytes: int
    is_closed: bool


def fill(store: "Store", followed: Followed, key_of: Callable[[int], str]) -> bool:
    """Some more members that are done are in volumes; return whether there may be more.

    `key_of` makes the key of a volume from its number. A member that is larger than a volume stays
    outside, with what is wrong; one that left nothing to be packed is in no volume.
    """
    with store.reading() as unit:
        if not _ready(unit, followed, most=1):
            return False
    return _fill(store, followed, key_of) == _AT_ONCE


def newest_number(store: "Store", source_id: int) -> int:
    """Return the number of the volume that was opened last; 0 before the first."""
    with store.reading() as unit:
        query = select(func.max(_G.c.number)).where(_G.c.source_id == source_id)
        return int(unit.execute(query).scalar() or 0)


def used_bytes(store: "Store", group_id: int) -> int:
    """Return how much its members take of a volume."""
    with store.reading() as unit:
        return _used_bytes(unit, group_id)


def _ready(unit: Unit, followed: Followed, *, most: int) -> Sequence[Any]:
    """Return members that are done and in no volume, those that came first."""
    waiting_id = waiting_group(unit, followed)
    if waiting_id is None:
        return ()
    query = select(_M.c.item_id, _M.c.attempt, _I.c.key).join(_I, _I.c.id == _M.c.item_id)
    is_ready = _M.c.group_id == waiting_id, _M.c.state.in_(_READY), _M.c.fault.is_(None)
    rows: Sequence[Any] = unit.execute(
        query.where(*is_ready, _M.c.copy == 0).order_by(_M.c.item_id).limit(most)
    ).fetchall()
    return rows


@as_a_whole
def _fill(store: "Store", followed: Followed, key_of: Callable[[int], str]) -> int:
    with store.writing() as unit:
        lock_source(unit, followed.source_id)
        rows = _ready(unit, followed, most=_AT_ONCE)
        if rows:
            _Filling(unit, followed, key_of).put(rows)
        hit("groups.filled")
    return len(rows)


class _Filling:
    """Puts members into volumes, within one transaction."""

    def __init__(self, unit: Unit, followed: Followed, key_of: Callable[[int], str]) -> None:
        self._unit = unit
        self._followed = followed
        self._key_of = key_of
        self._limit = capacity_bytes(followed.group.volume_bytes or 0)
        self._open = self._newest()
        self._changed: set[int] = set()

    def put(self, rows: Sequence[Any]) -> None:
        """Each of these members is in a volume, in the order of the rows."""
        unit, source_id = self._unit, self._followed.source_id
        rooms = self._rooms(rows)
        values = []
        for row in rows:
            room = rooms.get(row.item_id)
            fault, group_id = None, None
            if room is not None and room > self._limit:
                fault = self._too_large(row.key, room)
                group_id = waiting_group(unit, self._followed)
            elif room is not None:
                group_id = self._volume_for(room)
            values.append(
                {
                    "of_item": row.item_id, "of_source": source_id, "group_id": group_id,
                    "size_bytes": room or 0, "added_us": unit.now_us, "fault": fault,
                }
            )  # fmt: skip
        unit.run_many(_PUT, values)
        ids = sorted(self._changed)
        unit.execute(update(_G).where(_G.c.id.in_(ids)).values(added_us=unit.now_us))
        waiting_id = waiting_group(unit, self._followed)
        mark_changed(unit, self._changed | ({waiting_id} if waiting_id is not None else set()))

    def _rooms(self, rows: Sequence[Any]) -> dict[int, int]:
        """Return how much room each of these members takes that has anything to be packed."""
        members = {row.item_id: row.attempt for row in rows}
        files = packed_files(self._unit, self._followed, members)
        parts = parts_n(self._unit, [one for several in files.values() for one in several])
        keys = {row.item_id: row.key for row in rows}
        return {
            item_id: sum(
                room_bytes(
                    keys[item_id],
                    one.path,
                    one.size_bytes,
                    files=parts.get((one.path, one.checksum)),
                )
                for one in several
            )
            for item_id, several in files.items()
        }

    def _volume_for(self, room: int) -> int:
        """Return the id of the volume that so much goes into; a new one where it does not fit."""
        volume = self._open
        if volume is None or volume.is_closed or volume.used_bytes + room > self._limit:
            if volume is not None:
                self._changed.add(volume.id)  # it is complete now
            volume = self._open = self._new(1 if volume is None else volume.number + 1)
        volume.used_bytes += room
        self._changed.add(volume.id)
        return volume.id

    def _newest(self) -> _Volume | None:
        columns = (_G.c.id, _G.c.number, _G.c.closed_by, _G.c.told_us)
        query = select(*columns).where(
            _G.c.source_id == self._followed.source_id, _G.c.number.is_not(None)
        )
        row = self._unit.execute(query.order_by(_G.c.number.desc()).limit(1)).one_or_none()
        if row is None:
            return None
        is_closed = row.closed_by is not None or row.told_us is not None
        return _Volume(row.id, row.number, _used_bytes(self._unit, row.id), is_closed)

    def _new(self, number: int) -> _Volume:
        """Return a new volume, without members."""
        unit, source_id, key = self._unit, self._followed.source_id, self._key_of(number)
        row = (source_id, key, number, *[0] * 9, unit.now_us, unit.now_us)
        unit.insert(_G, _FIELDS, [row])
        where = _G.c.source_id == source_id, _G.c.number == number
        group_id = unit.execute(select(_G.c.id).where(*where)).scalar_one()
        return _Volume(id=group_id, number=number, used_bytes=0, is_closed=False)

    def _too_large(self, key: str, room: int) -> str:
        return (
            f"`{key}` is larger than a volume: it takes {room:,} bytes, and one has room for "
            f"{self._limit:,}; raise `volume`, or leave it out by `where`"
        )


_FIELDS = (
    "source_id", "key", "number", "revision", "due_us", "members", "over_n", "done_n", "bad_n",
    "changed_n", "ignored_n", "forgotten_n", "since_us", "added_us",
)  # fmt: skip


def _used_bytes(unit: Unit, group_id: int) -> int:
    query = select(func.sum(_M.c.size_bytes)).where(_M.c.group_id == group_id)
    return int(unit.execute(query).scalar() or 0)


def bring_volumes_up_to_date(unit: Unit, followed: Followed, items: Sequence[int]) -> set[int]:
    """Members in no volume stand as their tasks do; those in one that were done again leave it.

    In a volume that is complete they leave a copy of what they were. Return the groups that changed.
    """
    waiting_id = waiting_group(unit, followed)
    if waiting_id is None:
        return set()
    now = as_tasks_say(followed, items)
    is_it = and_(
        _M.c.item_id == now.c.item_id, _M.c.source_id == followed.source_id, _M.c.copy == 0
    )
    query = select(_M, _G.c.told_us).select_from(
        _M.join(now, is_it).join(_G, _G.c.id == _M.c.group_id)
    )
    again = unit.execute(
        query.where(_G.c.number.is_not(None), _M.c.tries != now.c.tries)
    ).fetchall()
    changed = {row.group_id for row in again if row.told_us is None}
    _leave_copies(unit, [row for row in again if row.told_us is not None])
    where = {
        "of_source": followed.source_id,
        "group_id": waiting_id,
        "size_bytes": 0,
        "fault": None,
    }
    unit.run_many(
        _PUT, [{**where, "of_item": row.item_id, "added_us": unit.now_us} for row in again]
    )
    is_outside = or_(_M.c.group_id == waiting_id, _M.c.group_id.is_(None))
    differs = or_(_M.c.state != now.c.state, _M.c.tries != now.c.tries)
    values = {"state": now.c.state, "tries": now.c.tries, "attempt": now.c.attempt}
    moved = unit.execute(update(_M).where(is_it, is_outside, differs).values(**values)).rowcount
    return changed | ({waiting_id} if moved else set())


def _leave_copies(unit: Unit, rows: Sequence[Any]) -> None:
    """What these members were stays in its volume."""
    if not rows:
        return
    of_items = _M.c.item_id.in_([row.item_id for row in rows])
    query = select(_M.c.item_id, func.max(_M.c.copy)).where(
        of_items, _M.c.source_id == rows[0].source_id
    )
    last = {row[0]: row[1] for row in unit.execute(query.group_by(_M.c.item_id))}
    copies = [
        (row.item_id, row.source_id, last[row.item_id] + 1, *(getattr(row, one) for one in _COPIED))
        for row in rows
    ]
    unit.insert(_M, ("item_id", "source_id", "copy", *_COPIED), copies)


_COPIED = (
    "group_id", "state", "tries", "attempt", "size_bytes", "added_us",
    "is_forgotten", "told_state", "told_tries",
)  # fmt: skip
