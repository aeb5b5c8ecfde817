"""The members of a group for the steps of the group, in pages: as they were when it was complete.

A member that is being done again meanwhile is listed with what it left before: the group follows once
it is over again.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select

from stoker.model.member import Member, MemberOutput
from stoker.model.states import AttemptState, MemberState, TaskState
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.groups.volume_members import with_pack
from stoker.store.steps import Catalog
from stoker.store.unit import Prepared, Unit, in_parts, param, param_list

if TYPE_CHECKING:
    from stoker.store.unit import Store

PAGE = 16_000  # each page sorts the rest: seven times for 100,000 members

_G, _M, _I, _T, _A, _O, _X = (
    tables.item_group, tables.member, tables.item, tables.task, tables.attempt, tables.output,
    tables.temporary,
)  # fmt: skip
_MEMBERS = Prepared(
    select(_I.c.id, _I.c.key, _M.c.told_state, _I.c.meta, _I.c.params)
    .select_from(_M.join(_I, _I.c.id == _M.c.item_id))
    .where(
        _M.c.group_id == param("group_id"), _M.c.told_state.is_not(None), _I.c.key > param("after")
    )
    .order_by(_I.c.key)
    .limit(param("rows"))
)
_TASKS = Prepared(
    select(_T.c.item_id, _T.c.step_id, _T.c.id, _T.c.state, _T.c.reason, _A.c.id, _A.c.step_values,
           _A.c.reason)
    .select_from(_T.outerjoin(_A, _A.c.id == _T.c.attempt))
    .where(_T.c.item_id.in_(param_list("items")))
)  # fmt: skip
_BEFORE = Prepared(
    select(_A.c.task_id, _A.c.id, _A.c.step_values)
    .where(_A.c.task_id.in_(param_list("tasks")), _A.c.state == AttemptState.SUCCEEDED.value)
    .order_by(_A.c.number)
)
_OUTPUTS = Prepared(
    select(_O.c.attempt, _O.c.name, _O.c.path, _O.c.size_bytes, _O.c.checksum, _X.c.removed_us)
    .select_from(
        _O.outerjoin(
            _X,
            and_(
                _X.c.attempt == _O.c.attempt, _X.c.name == _O.c.name, _X.c.position == _O.c.position
            ),
        )
    )
    .where(_O.c.attempt.in_(param_list("attempts")))
    .order_by(_O.c.attempt, _O.c.name, _O.c.position)
)
_DONE = TaskState.DONE.value
_STOPPED = (TaskState.FAILED.value, TaskState.CANCELLED.value)


def members_of(store: "Store", item_id: int, *, after: str = "", most: int = PAGE) -> list[Member]:
    """Return the members of the group that the item stands for, with keys above `after`, in order."""
    with store.reading() as unit:
        columns = (_G.c.id, _G.c.number, _G.c.source_id)
        group = unit.execute(select(*columns).where(_G.c.item_id == item_id)).one_or_none()
        if group is None:
            return []
        rows = unit.run(_MEMBERS, group_id=group.id, after=after, rows=most).fetchall()
        if not rows:
            return []
        members = _with_results(unit, catalog(unit), rows)
        if group.number is None:
            return members
        return with_pack(unit, group, members, [row[0] for row in rows])


def _with_results(unit: Unit, known: Catalog, rows: Sequence[Any]) -> list[Member]:
    """Return the members with what their steps left."""
    left: dict[int, list[tuple[str, bytes, str | None]]] = {}
    reasons: dict[int, str] = {}
    undone: dict[int, tuple[int, str]] = {}
    for item_id, step_id, task_id, state, said, attempt, values, ended in unit.run(
        _TASKS, items=[row[0] for row in rows]
    ).fetchall():
        name = known.steps[step_id].name
        if state == _DONE and attempt is not None:
            left.setdefault(item_id, []).append((name, bytes(attempt), values))
        elif attempt is not None:
            undone[task_id] = (item_id, name)
        if state in _STOPPED:
            reasons[item_id] = ended or said or ""
    if undone:
        for item_id, found in _left_before(unit, undone).items():
            left.setdefault(item_id, []).extend(found)
    outputs = _outputs(unit, [one[1] for several in left.values() for one in several])
    return [_member(row, left.get(row[0], ()), outputs, reasons.get(row[0])) for row in rows]


def _left_before(
    unit: Unit, undone: Mapping[int, tuple[int, str]]
) -> dict[int, list[tuple[str, bytes, str | None]]]:
    """Return what tasks left that are not done now, when they were done last."""
    last: dict[int, tuple[str, bytes, str | None]] = {}
    for some in in_parts(list(undone)):
        for task_id, attempt, values in unit.run(_BEFORE, tasks=some).fetchall():
            last[task_id] = (undone[task_id][1], bytes(attempt), values)
    found: dict[int, list[tuple[str, bytes, str | None]]] = {}
    for task_id, one in last.items():
        found.setdefault(undone[task_id][0], []).append(one)
    return found


def _outputs(unit: Unit, attempts: list[bytes]) -> dict[bytes, dict[str, tuple[MemberOutput, ...]]]:
    found: dict[bytes, dict[str, tuple[MemberOutput, ...]]] = {}
    for some in in_parts(attempts):
        for attempt, name, path, size, checksum, removed_us in unit.run(
            _OUTPUTS, attempts=some
        ).fetchall():
            one = MemberOutput(os.fsdecode(path), size, checksum, removed_us is not None)
            of_attempt = found.setdefault(bytes(attempt), {})
            of_attempt[name] = (*of_attempt[name], one) if name in of_attempt else (one,)
    return found


_NOTHING: Mapping[str, Any] = {}
_WORDS = {state.value: (state.word, state.is_bad) for state in MemberState}


def _member(
    row: Any,
    left: Sequence[tuple[str, bytes, str | None]],
    outputs: Mapping[bytes, Mapping[str, tuple[MemberOutput, ...]]],
    reason: str | None,
) -> Member:
    _, key, state, meta, params = row
    word, is_bad = _WORDS[state]
    return Member(
        key=key.decode() if isinstance(key, bytes) else key,
        state=word,
        meta=_NOTHING if meta == "{}" else json.loads(meta),
        params=_NOTHING if params == "{}" else json.loads(params),
        values={name: json.loads(values) for name, _, values in left if values},
        outputs={name: outputs[attempt] for name, attempt, _ in left if attempt in outputs},
        reason=reason if is_bad else None,
    )
