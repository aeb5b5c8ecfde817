"""Groups for people and programs: lists, one with its members, and what it waits for, in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, func, or_, select

from stoker.errors import NotFound, UserError
from stoker.model.states import MemberState, TaskState
from stoker.store import tables
from stoker.store.groups.conditions import WAITING, is_told
from stoker.store.groups.rows import GroupRow, GroupStory, MemberRow
from stoker.store.groups.summaries import declared_groups, outdated
from stoker.store.times import moment
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.model.source import Group
    from stoker.store.unit import Store

PAGE = 1_000
_NAMED = 3  # members that are named in a sentence

_G, _M, _I, _S, _P, _T, _A, _ST = (
    tables.item_group, tables.member, tables.item, tables.source, tables.pipeline, tables.task,
    tables.attempt, tables.step,
)  # fmt: skip
_STANDS = case((and_(is_told(), func.coalesce(_G.c.due_us, 1) != 0), 1), else_=0).label(
    "is_complete"
)
_QUERY = (
    select(
        _G,
        _STANDS,
        _S.c.name.label("source"),
        _P.c.name.label("pipeline"),
        _I.c.key.label("item"),
    )
    .select_from(
        _G.join(_S, _S.c.id == _G.c.source_id)
        .join(_P, _P.c.id == _S.c.pipeline_id)
        .outerjoin(_I, _I.c.id == _G.c.item_id)
    )
    .where(_G.c.key != WAITING)
)
_STOPPED = (
    TaskState.FAILED,
    TaskState.CANCELLED,
    TaskState.HELD,
    TaskState.RUNNING,
    TaskState.READY,
)


def groups(
    store: "Store",
    *,
    key: str | None = None,
    pipeline: str | None = None,
    is_waiting: bool = False,
) -> Iterator[GroupRow]:
    """Yield the groups in the order in which they were found, also those that are not complete yet.

    With `is_waiting` these only.
    """
    for _, row in groups_behind(store, 0, key=key, pipeline=pipeline, is_waiting=is_waiting):
        yield row


def groups_behind(
    store: "Store", after: int, *, key: str | None, pipeline: str | None, is_waiting: bool
) -> Iterator[tuple[int, GroupRow]]:
    """Yield the groups behind this id, each with its own; a page of them is a transaction."""
    with store.reading() as unit:
        declared = declared_groups(unit)
    while True:
        query = _QUERY.where(_G.c.id > after)
        if pipeline is not None:
            query = query.where(_P.c.name == pipeline)
        if is_waiting:
            query = query.where(_STANDS.element == 0)
        if key is not None:
            query = query.where(or_(_G.c.key == key, _I.c.key == key))
        with store.reading() as unit:
            rows = unit.execute(query.order_by(_G.c.id).limit(PAGE)).fetchall()
            now_us = unit.now_us
        for row in rows:
            group = declared.get((row.pipeline, row.source))
            if group is not None:
                yield row.id, _row(row, group, now_us)
        if len(rows) < PAGE:
            return
        after = rows[-1].id


def _row(row: Any, group: "Group", now_us: int) -> GroupRow:
    is_complete = bool(row.is_complete)
    overdue_s = group.overdue_s
    is_late = overdue_s is not None and row.since_us < now_us - overdue_s * 1e6
    return GroupRow(
        pipeline=row.pipeline,
        source=row.source,
        key=row.key,
        state="complete" if is_complete else "waiting",
        members=row.members,
        over=row.over_n,
        failed=row.bad_n,
        missing=(row.told_missing or 0) if is_complete else _missing(row, group),
        outdated=0 if row.told_us is None else outdated(row),
        overdue=bool(is_late and not is_complete),
        item=row.item,
        since=moment(row.since_us) if row.since_us < _NEVER_US else None,
        completed_at=moment(row.told_us),
        waits_for=row.waits_for,
        trouble=row.trouble,
    )


_NEVER_US = 1 << 61


def _missing(row: Any, group: "Group") -> int:
    expected = group.count if isinstance(group.count, int) else row.most_expected
    return 0 if expected is None else max(0, int(expected) - int(row.members))


def find_group(unit: Unit, key: str, *, pipeline: str | None = None) -> tuple[Any, "Group"]:
    """Return the row of the group of that key, or whose item has it, and its declaration.

    NotFound if there is none; UserError where two pipelines have it.
    """
    query = _QUERY.where(or_(_G.c.key == key, _I.c.key == key))
    if pipeline is not None:
        query = query.where(_P.c.name == pipeline)
    declared = declared_groups(unit)
    rows = [one for one in unit.execute(query).fetchall() if (one.pipeline, one.source) in declared]
    if not rows:
        of = f" of `{pipeline}`" if pipeline is not None else ""
        raise NotFound(f"there is no group `{key}`{of}; `stoker group list` lists them")
    if len(rows) > 1:
        names = " and of ".join(f"`{row.pipeline}`" for row in rows)
        raise UserError(f"`{key}` is a group of {names}; say which with `--pipeline`")
    return rows[0], declared[rows[0].pipeline, rows[0].source]


def story(store: "Store", key: str, *, pipeline: str | None = None) -> GroupStory:
    """Return the group with all its members."""
    with store.reading() as unit:
        row, group = find_group(unit, key, pipeline=pipeline)
        return GroupStory(
            group=_row(row, group, unit.now_us),
            text=in_words(unit, row, group),
            members=tuple(_members(unit, row.id)),
        )


def _members(
    unit: Unit, group_id: int, *, only_open: bool = False, most: int | None = None
) -> list[MemberRow]:
    """Return members in the order of their keys: all, or those that a group waits for."""
    is_changed = or_(
        _M.c.told_state.is_(None), _M.c.told_state != _M.c.state, _M.c.told_tries != _M.c.tries
    )
    query = (
        select(
            _I.c.id, _I.c.key, _I.c.reason, _M.c.state, case((is_changed, 1), else_=0).label("new")
        )
        .select_from(_M.join(_I, _I.c.id == _M.c.item_id))
        .where(_M.c.group_id == group_id)
    )
    if only_open:
        query = query.where(_M.c.state.not_in((MemberState.DONE.value, MemberState.SKIPPED.value)))
    rows = unit.execute(query.order_by(_I.c.key).limit(most)).fetchall()
    reasons = _reasons(unit, [row.id for row in rows if row.state not in _FINE])
    return [
        MemberRow(
            item=row.key,
            state=MemberState(row.state).word,
            reason=reasons.get(row.id) or row.reason,
            is_changed=bool(row.new),
        )
        for row in rows
    ]


_FINE = (MemberState.DONE.value, MemberState.SKIPPED.value)


def _reasons(unit: Unit, items: Sequence[int]) -> Mapping[int, str]:
    """Return in a few words why each of these items is not done: the task that matters most."""
    found: dict[int, tuple[int, str]] = {}
    for at in range(0, len(items), PAGE):
        query = (
            select(_T.c.item_id, _T.c.state, _T.c.reason, _A.c.reason.label("ended"), _ST.c.name)
            .select_from(
                _T.join(_ST, _ST.c.id == _T.c.step_id).outerjoin(_A, _A.c.id == _T.c.attempt)
            )
            .where(_T.c.item_id.in_(items[at : at + PAGE]), ~_ST.c.is_removed)
            .where(_T.c.state.in_([state.value for state in _STOPPED]))
        )
        for row in unit.execute(query):
            state = TaskState(row.state)
            why = (row.ended if state is TaskState.FAILED else row.reason) or ""
            text = f"{state.word}: {why}" if why else f"{row.name} is {state.word}"
            rank = _STOPPED.index(state)
            if row.item_id not in found or rank < found[row.item_id][0]:
                found[row.item_id] = (rank, text)
    return {item_id: text for item_id, (_, text) in found.items()}


def in_words(unit: Unit, row: Any, group: "Group") -> str:
    """Return how the group stands, in a sentence."""
    if row.trouble is not None:
        return str(row.trouble)
    if row.is_complete:
        text = f"it is complete, with {_count(row.members, 'member')}"
        if row.told_missing:
            text += f"; {row.told_missing:,} more were expected when it was closed"
        return text
    waits: list[str] = []
    n = row.members - row.over_n + (0 if group.allow_failed else row.bad_n)
    if n:
        waits.append(_of_members(unit, row, n))
    missing = _missing(row, group)
    if missing:
        waits.append(f"{missing:,} more of {_count(row.members + missing, 'member')}")
    elif row.waits_for is not None:
        waits.append(str(row.waits_for))
    if not waits and not row.done_n:
        return "none of its members is done, so there is nothing to do for it"
    again = f"; its item is outdated by {_count(outdated(row), 'member')}" if row.told_us else ""
    if not waits:
        return (
            f"its members are over; it is registered when `stoker up` or `stoker run` looks{again}"
        )
    return f"it waits for {'; '.join(waits)}{again}"


def _of_members(unit: Unit, row: Any, n: int) -> str:
    some = _members(unit, row.id, only_open=True, most=_NAMED)
    named = ", ".join(f"`{one.item}` ({one.reason or one.state})" for one in some)
    more = f" and {n - len(some):,} more" if n > len(some) else ""
    return f"{n:,} of {_count(row.members, 'member')}: {named}{more}"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
