"""How members of groups stand, computed from their tasks: for thousands of them in one statement."""

from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, case, func, select, update

from stoker.model.states import MemberState, TaskState
from stoker.store import tables
from stoker.store.dialects.constructs import newest_id
from stoker.store.groups.followed import Followed
from stoker.store.unit import Prepared, Unit, param, param_list

_T, _M = tables.task, tables.member
_MOVING = (TaskState.READY.value, TaskState.RUNNING.value, TaskState.HELD.value)


def as_tasks_say(followed: Followed, items: Sequence[int]) -> Any:
    """Return a subquery: state, tries and newest attempt of these items, as their tasks have it."""
    return _query(followed, items).subquery()


def _query(followed: Followed, items: Any) -> Any:

    def any_(*states: int, ends: bool = False) -> Any:
        is_it: Any = _T.c.state.in_(states)
        if ends:
            is_it = and_(is_it, _T.c.step_id.in_(followed.ends))
        return func.sum(case((is_it, 1), else_=0)) > 0

    state = case(
        (any_(*_MOVING), MemberState.OPEN.value),
        (any_(TaskState.FAILED.value), MemberState.FAILED.value),
        (any_(TaskState.CANCELLED.value), MemberState.CANCELLED.value),
        (any_(TaskState.BLOCKED.value), MemberState.OPEN.value),
        (any_(TaskState.DONE.value, ends=True), MemberState.DONE.value),
        else_=MemberState.SKIPPED.value,
    )
    number: Any = _T.c.number
    attempt: Any = _T.c.attempt
    if followed.tried != followed.steps:
        is_tried = _T.c.step_id.in_(followed.tried)
        number, attempt = case((is_tried, number), else_=0), case((is_tried, attempt))
    query = select(
        _T.c.item_id,
        state.label("state"),
        func.sum(number).label("tries"),
        newest_id(attempt).label("attempt"),
    )
    of_items = _T.c.item_id.in_(items), _T.c.step_id.in_(followed.steps)
    return query.where(*of_items).group_by(_T.c.item_id)


class Standing(NamedTuple):
    """How a member stands: its state, the number of its tries, and the newest attempt."""

    state: int
    tries: int
    attempt: str | None


def standing_of(unit: Unit, followed: Followed, items: Sequence[int]) -> dict[int, Standing]:
    """Return how these items stand, as their tasks have it."""
    steps = followed.steps, followed.ends, followed.tried
    found = _statements.get(steps)
    if found is None:
        found = _statements[steps] = Prepared(_query(followed, param_list("items")))
    rows = unit.run(found, items=list(items)).fetchall() if items else ()
    return {row[0]: Standing(row[1], int(row[2]), row[3]) for row in rows}


_statements: dict[tuple[tuple[int, ...], ...], Prepared] = {}
_KNOWN = Prepared(
    select(_M.c.item_id, _M.c.group_id, _M.c.state, _M.c.tries).where(
        _M.c.item_id.in_(param_list("items")), _M.c.source_id == param("source_id"), _M.c.copy == 0
    )
)
_STANDS = Prepared(
    update(_M)
    .where(_M.c.item_id == param("of_item"), _M.c.source_id == param("of_source"), _M.c.copy == 0)
    .values({_M.c[name]: param(f"new_{name}") for name in ("state", "tries", "attempt")})
)


def bring_up_to_date(
    unit: Unit, followed: Followed, standing: Mapping[int, Standing], *, leave: Container[int] = ()
) -> set[int]:
    """These members stand so; return the groups of those that stood otherwise. `leave` do already."""
    items = [item_id for item_id in standing if item_id not in leave]
    if not items:
        return set()
    rows = []
    groups: set[int | None] = set()
    for item_id, group_id, state, tries in unit.run(
        _KNOWN, items=items, source_id=followed.source_id
    ).fetchall():
        now = standing[item_id]
        if (now.state, now.tries) != (state, tries):
            groups.add(group_id)
            rows.append(
                {
                    "of_item": item_id, "of_source": followed.source_id, "new_state": now.state,
                    "new_tries": now.tries, "new_attempt": now.attempt,
                }
            )  # fmt: skip
    unit.run_many(_STANDS, rows)
    return {one for one in groups if one is not None}
