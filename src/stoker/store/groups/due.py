"""Which groups may be complete: their members counted, and those that wait for members set apart."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, case, func, null, or_, select, update

from stoker.model.states import MemberState
from stoker.store import tables
from stoker.store.groups.conditions import WAITING, is_told, is_waiting
from stoker.store.groups.locking import lock_source
from stoker.store.unit import Prepared, Unit, as_a_whole, param, param_list

if TYPE_CHECKING:
    from stoker.model.source import Group
    from stoker.store.unit import Store

PAGE = 2_000  # groups in a transaction
_ALWAYS_US = 1  # due, and counted
_BAD = tuple(state.value for state in MemberState if state.is_bad)
_OVER = tuple(state.value for state in MemberState if state.is_over)

_M, _G = tables.member, tables.item_group
_COUNTS = ("members", "over_n", "done_n", "bad_n", "changed_n", "forgotten_n")
_EXPECTED = ("least_expected", "most_expected")


class DueGroup(NamedTuple):
    """A group that may be complete, as it was counted; `revision` shows whether it has changed since."""

    id: int
    key: str
    number: int | None  # of a volume
    revision: int
    members: int
    over_n: int
    done_n: int
    bad_n: int
    forgotten_n: int
    least_expected: int | None
    most_expected: int | None
    since_us: int
    added_us: int
    closed_by: str | None
    told_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What was found about a group that is not complete: what it waits for, and until when.

    `again_us` is when to look again; None: when a member changes.
    """

    group: DueGroup
    again_us: int | None = None
    waits_for: str | None = None
    trouble: str | None = None


def count(store: "Store", source_id: int, group: "Group") -> bool:
    """Groups whose members changed are counted, some thousands of them; return whether there are more.

    Counting a hundred thousand members takes a moment, and nobody waits for it: what was counted is
    recorded if no member has changed meanwhile. Groups of few members are counted and recorded at once.
    """
    query = select(_G.c.id, _G.c.revision).where(_G.c.due_us == 0, _G.c.source_id == source_id)
    with store.reading() as unit:
        rows = unit.execute(query.order_by(_G.c.id).limit(PAGE)).fetchall()
        if not rows:
            return False
        ids = [row.id for row in rows]
        are_few = len(unit.run(_SOME, groups=ids, most=_FEW + 1).fetchall()) <= _FEW
        found = () if are_few else unit.run(_COUNTS_NOW, groups=ids).fetchall()
        now = {row[0]: dict(zip(_COUNTED_NAMES, row[1:], strict=True)) for row in found}
    if are_few:
        _count_now(store, source_id, group, ids)
    else:
        _record_counts(store, source_id, group, [(row.id, row.revision) for row in rows], now)
    return len(rows) == PAGE


_FEW = 4_000  # members that are counted while claims wait: some 10 ms
_SOME = Prepared(
    select(_M.c.item_id).where(_M.c.group_id.in_(param_list("groups"))).limit(param("most"))
)
_COUNTED_NAMES = (*_COUNTS, *_EXPECTED)


@as_a_whole
def _count_now(store: "Store", source_id: int, group: "Group", ids: Sequence[int]) -> None:
    """These groups have the counts of their members, and are due where they may be complete."""
    with store.writing(durable=False) as unit:
        lock_source(unit, source_id)
        recount(unit, ids)
        unit.run(_decided(group.allow_failed, group.count), groups=list(ids))


_COUNTED = Prepared(
    update(_G)
    .where(_G.c.id == param("of_group"), _G.c.revision == param("as_read"), _G.c.due_us == 0)
    .values(
        due_us=_ALWAYS_US, waits_for=null(), trouble=null(),
        **{name: param(f"new_{name}") for name in (*_COUNTS, *_EXPECTED)},
    )
)  # fmt: skip


@as_a_whole
def _record_counts(
    store: "Store",
    source_id: int,
    group: "Group",
    groups: Sequence[tuple[int, int]],
    now: Mapping[int, Mapping[str, Any]],
) -> None:
    """These groups have these counts, and are due where they may be complete."""
    nothing: Mapping[str, Any] = dict.fromkeys(_COUNTS, 0) | dict.fromkeys(_EXPECTED)
    rows = []
    for group_id, revision in groups:
        counts = now.get(group_id, nothing)
        named = {f"new_{name}": counts[name] for name in nothing}
        rows.append({"of_group": group_id, "as_read": revision, **named})
    with store.writing(durable=False) as unit:
        lock_source(unit, source_id)
        unit.run_many(_COUNTED, rows)
        ids = [group_id for group_id, _ in groups]
        is_counted = and_(_G.c.id.in_(ids), _G.c.due_us == _ALWAYS_US)
        unit.execute(
            update(_G).where(is_counted).values(due_us=_due(group.allow_failed, group.count))
        )


def recount(unit: Unit, ids: Sequence[int]) -> None:
    """The counts of these groups are those of their members."""
    unit.run(_EMPTY, groups=list(ids))
    unit.run(_RECOUNT, groups=list(ids))


def counted(which: Any) -> Any:
    """A query for the counts of the groups that `which` members are in."""

    def sum_of(condition: Any) -> Any:
        return func.sum(case((condition, 1), else_=0))

    is_new = or_(
        _M.c.told_state.is_(None), _M.c.told_state != _M.c.state, _M.c.told_tries != _M.c.tries
    )
    return (
        select(
            _M.c.group_id,
            func.count().label("members"),
            sum_of(_M.c.state.in_(_OVER)).label("over_n"),
            sum_of(_M.c.state == MemberState.DONE.value).label("done_n"),
            sum_of(_M.c.state.in_(_BAD)).label("bad_n"),
            sum_of(is_new).label("changed_n"),
            sum_of(_M.c.is_forgotten).label("forgotten_n"),
            func.min(_M.c.expected).label("least_expected"),
            func.max(_M.c.expected).label("most_expected"),
        )
        .where(which)
        .group_by(_M.c.group_id)
    )


def _recount() -> Prepared:
    now = counted(_M.c.group_id.in_(param_list("groups"))).subquery()
    values = {name: now.c[name] for name in _COUNTED_NAMES}
    return Prepared(update(_G).where(_G.c.id == now.c.group_id).values(**values))


_COUNTS_NOW = Prepared(counted(_M.c.group_id.in_(param_list("groups"))))
_RECOUNT = _recount()
_EMPTY = Prepared(  # groups that have lost all members: nothing is counted for them
    update(_G)
    .where(
        _G.c.id.in_(param_list("groups")),
        ~select(_M.c.item_id).where(_M.c.group_id == _G.c.id).exists(),
    )
    .values(**dict.fromkeys(_COUNTS, 0), **{name: null() for name in _EXPECTED})
)


@functools.lru_cache(maxsize=64)
def _decided(allow_failed: bool, count: int | str | None) -> Prepared:  # noqa: FBT001 - as declared
    """The statement by which counted groups are due, or not."""
    due = _due(allow_failed, count)
    is_one = _G.c.id.in_(param_list("groups"))
    values = {"due_us": due, "waits_for": null(), "trouble": null()}
    return Prepared(update(_G).where(is_one).values(**values))


def _due(allow_failed: bool, count: int | str | None) -> Any:  # noqa: FBT001 - as declared
    """When a group that was counted is to be decided about: now, or once a member changes."""
    is_over = _G.c.members == _G.c.over_n
    if not allow_failed:
        is_over = and_(is_over, _G.c.bad_n == 0)
    may_be_complete = and_(is_over, _G.c.done_n > 0, ~is_told())
    is_closed = and_(_G.c.closed_by.is_not(None), _G.c.done_n > 0)
    is_wrong = _G.c.least_expected != _G.c.most_expected
    if isinstance(count, int):
        is_wrong = or_(is_wrong, _G.c.members > count)
    else:
        is_wrong = or_(is_wrong, _G.c.members > _G.c.most_expected)
    is_due = and_(or_(may_be_complete, is_closed, is_wrong), _G.c.key != WAITING)
    return case((is_due, _ALWAYS_US), else_=None)


def due(
    store: "Store", source_id: int, *, at_us: int | None = None, after: int = 0
) -> tuple[list[DueGroup], int]:
    """Return some groups that are to be decided about by now, or by `at_us`; and the store's time.

    In the order of their ids, of which those up to `after` are left out.
    """
    columns = [_G.c[name] for name in DueGroup._fields]
    with store.reading() as unit:
        until_us = unit.now_us if at_us is None else at_us
        is_due = and_(
            _G.c.source_id == source_id, _G.c.due_us > 0, _G.c.due_us <= until_us, _G.c.id > after
        )
        query = select(*columns).where(is_due)
        rows = unit.execute(query.order_by(_G.c.id).limit(PAGE)).fetchall()
        return list(map(DueGroup._make, rows)), unit.now_us


def next_in_s(store: "Store", source_id: int) -> float | None:
    """Return in how long the next group is to be decided about; None: once a member changes."""
    query = select(func.min(_G.c.due_us)).where(_G.c.source_id == source_id)
    with store.reading() as unit:
        found = unit.execute(query.where(_G.c.due_us.is_not(None))).scalar()
        return None if found is None else (found - unit.now_us) / 1e6


_NOTE = Prepared(
    update(_G)
    .where(_G.c.id == param("of_group"), _G.c.revision == param("as_counted"))
    .values(due_us=param("again_us"), waits_for=param("waits"), trouble=param("wrong"))
)


@as_a_whole
def note_waits(store: "Store", source_id: int, waits: Sequence[Waits]) -> None:
    """What these groups wait for can be read, unless they have changed since."""
    rows = [
        {
            "of_group": one.group.id,
            "as_counted": one.group.revision,
            "again_us": one.again_us,
            "waits": one.waits_for,
            "wrong": one.trouble,
        }
        for one in waits
    ]
    with store.writing(durable=False) as unit:
        lock_source(unit, source_id)
        unit.run_many(_NOTE, rows)


def waiting(store: "Store", source_id: int) -> tuple[int, int | None]:
    """Return how many groups are not complete, and since when the first of them has been there."""
    query = select(func.count(), func.min(_G.c.since_us))
    with store.reading() as unit:
        row = unit.execute(query.where(is_waiting(), _G.c.source_id == source_id)).one()
        return int(row[0]), row[1]


def troubles(
    store: "Store", source_id: int, *, overdue_us: int | None, most: int
) -> tuple[list[str], int]:
    """Return what is wrong with groups and items of this source, the first few, and how many there are."""
    said, n = [], 0
    is_wrong = and_(_G.c.source_id == source_id, _G.c.trouble.is_not(None))
    is_faulty = and_(_M.c.source_id == source_id, _M.c.fault.is_not(None))
    with store.reading() as unit:
        for which, text in ((_G, _G.c.trouble), (_M, _M.c.fault)):
            where = is_wrong if which is _G else is_faulty
            n += int(
                unit.execute(select(func.count()).select_from(which).where(where)).scalar_one()
            )
            said += unit.execute(select(text).where(where).limit(most)).scalars().all()
        if overdue_us is not None:
            late = and_(is_waiting(), _G.c.source_id == source_id, _G.c.since_us < overdue_us)
            n += int(unit.execute(select(func.count()).where(late)).scalar_one())
            query = select(_G.c.key).where(late).order_by(_G.c.since_us).limit(most)
            said += [f"group `{key}` is overdue" for key in unit.execute(query).scalars()]
    return said[:most], n
