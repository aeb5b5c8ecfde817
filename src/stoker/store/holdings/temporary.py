"""Temporary outputs: published for the steps that follow, and deleted when the last has used them."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, insert, or_, select, update

from stoker.model.id_types import HERE
from stoker.model.states import TaskState
from stoker.model.task import Content, Result
from stoker.store import tables
from stoker.store.holdings.publications import parts_of
from stoker.store.holdings.uses_by_groups import Use, needed, uses
from stoker.store.locks import lock_tasks_of
from stoker.store.steps import Catalog
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_X, _T, _E, _O, _U = (
    tables.temporary, tables.task, tables.edge, tables.output, tables.unsettled_step,
)  # fmt: skip

Remove = Callable[[], str | None]
Look = Callable[[str, Content], Remove]
_UNSEEN = b""  # of an output that is to be deleted at another place
_SATISFIED = tuple(state.value for state in TaskState if state.is_satisfied)


def note(unit: Unit, ended: Sequence[tuple[Any, Result]], known: Catalog) -> None:
    """The temporary outputs among these results are known, in place of the task's earlier ones.

    Part of the transaction that records the results; each comes with its task's row, which has
    `task_id` and `step_id`.
    """
    for row, result in ended:
        spec = known.steps[row.step_id].spec
        names = {output.name for output in spec.outputs if output.temp} if spec else set()
        rows = [
            {
                "attempt": result.attempt,
                "name": name,
                "position": position,  # as in the table of outputs
                "task_id": row.task_id,
                "path": os.fsencode(path),
                "place": result.place,
            }
            for name in names
            for position, path in enumerate(one.path for one in result.outputs if one.name == name)
        ]
        if rows:
            unit.execute(delete(_X).where(_X.c.task_id == row.task_id))
            unit.execute(insert(_X), rows)


def expire(store: "Store", look: Look, *, most: int = 100) -> int:
    """Outputs that nothing needs any more are deleted; return how many, up to `most`.

    `look` gets path and content of each, and returns what deletes it: so much of it as is still that
    content. The first may take long; what it returns is called inside the transaction that records
    it, so that no step can be set back meanwhile and then miss its input. It returns a path that
    stays, if one does. After a crash the next call deletes again.
    """
    with store.reading() as unit:
        rows = unit.execute(_expired(uses(unit)).limit(most)).fetchall()
        contents = [
            Content(
                size_bytes=row.size_bytes,
                checksum=row.checksum,
                parts=parts_of(unit, bytes(row.path), row.checksum),
            )
            for row in rows
        ]
    removers = {
        (row.attempt, row.name, row.position): look(os.fsdecode(row.path), content)
        for row, content in zip(rows, contents, strict=True)
    }
    return _record(store, removers, rows) if rows else 0


@as_a_whole
def _record(
    store: "Store", removers: Mapping[tuple[bytes, str, int], Remove], seen: Sequence[Any]
) -> int:
    """Those that still nothing needs are deleted."""
    with store.writing() as unit:
        lock_tasks_of(unit, [row.item_id for row in seen])
        query = _expired(uses(unit)).where(_X.c.task_id.in_([row.task_id for row in seen]))
        count = 0
        for row in unit.execute(query).fetchall():
            remove = removers.get((row.attempt, row.name, row.position))
            if remove is None:
                continue
            count += 1
            kept = remove()
            values = {"removed_us": unit.now_us, "kept": os.fsencode(kept) if kept else None}
            unit.execute(update(_X).where(_is(row)).values(values))
    return count


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A temporary output at another place, which nothing needs any more."""

    attempt: bytes
    name: str
    position: int
    path: str
    content: Content


@as_a_whole
def begin_removal(store: "Store", place: int, *, most: int = 20) -> list[Elsewhere]:
    """Temporary outputs at a place are to be deleted there; return them, up to `most`.

    From now on no step counts on them. Until `end_removal` says what became of one it is returned
    again, so that the deletion may be cut short anywhere. Only a caller with the place to itself may
    call this: nothing may be published there meanwhile.
    """
    with store.writing() as unit:
        rows = unit.execute(_begun(place).limit(most)).fetchall()
        fresh = [] if len(rows) >= most else _newly_expired(unit, place, most - len(rows))
        for row in fresh:
            values = {"removed_us": unit.now_us, "kept": _UNSEEN}
            unit.execute(update(_X).where(_is(row)).values(values))
        return [
            Elsewhere(
                bytes(row.attempt),
                row.name,
                row.position,
                os.fsdecode(row.path),
                Content(
                    size_bytes=row.size_bytes,
                    checksum=row.checksum,
                    parts=parts_of(unit, bytes(row.path), row.checksum, place=place),
                ),
            )
            for row in (*rows, *fresh)
        ]


def _newly_expired(unit: Unit, place: int, most: int) -> Sequence[Any]:
    query = _expired(uses(unit), place)
    seen = unit.execute(query.limit(most)).fetchall()
    if not seen:
        return ()
    lock_tasks_of(unit, [row.item_id for row in seen])
    mine = _X.c.task_id.in_([row.task_id for row in seen])
    found: Sequence[Any] = unit.execute(query.where(mine)).fetchall()
    return found


@as_a_whole
def end_removal(store: "Store", seen: Sequence[tuple[Elsewhere, str | None]]) -> None:
    """These are deleted, or stay: each comes with the path that stayed, None if none did."""
    with store.writing() as unit:
        for one, kept in seen:
            values = {"kept": os.fsencode(kept) if kept else None}
            unit.execute(update(_X).where(_is(one), _X.c.kept == _UNSEEN).values(values))


def _is(one: Any) -> Any:
    return and_(_X.c.attempt == one.attempt, _X.c.name == one.name, _X.c.position == one.position)


def _begun(place: int) -> Any:
    """The outputs whose deletion at that place was begun, and not seen to its end.

    Not of a task that has been set back since: its next attempt may be publishing there already.
    """
    is_output = and_(
        _O.c.attempt == _X.c.attempt, _O.c.name == _X.c.name, _O.c.position == _X.c.position
    )
    columns = (
        _X.c.attempt, _X.c.name, _X.c.position, _X.c.path, _O.c.size_bytes, _O.c.checksum,
    )  # fmt: skip
    return (
        select(*columns)
        .select_from(_X.join(_T, _T.c.id == _X.c.task_id).join(_O, is_output))
        .where(
            _X.c.removed_us.is_not(None),
            _X.c.place == place,
            _X.c.kept == _UNSEEN,
            _T.c.attempt == _X.c.attempt,
            _T.c.state == TaskState.DONE.value,
        )
    )


def removed_steps(unit: Unit, items: Iterable[int]) -> dict[int, set[int]]:
    """Return the ids of these items' steps whose temporary outputs have been deleted, by item."""
    query = select(_T.c.item_id, _T.c.step_id).join(_X, _X.c.task_id == _T.c.id)
    is_removed = _T.c.item_id.in_(list(items)), _X.c.removed_us.is_not(None)
    found: dict[int, set[int]] = {}
    for item_id, step_id in unit.execute(query.where(*is_removed)):
        found.setdefault(item_id, set()).add(step_id)
    return found


def _expired(by_groups: Sequence[Use], place: int = HERE) -> Any:
    """The outputs, on this site's hosts or at another place, of done tasks that have successors, or that groups read.

    Their successors are all done or skipped.

    Not those of a step that has a successor whose tasks may not be there yet, nor those that a group
    may still read.
    """
    after = _T.alias("after")
    joined = _E.join(after, after.c.step_id == _E.c.successor_id)
    of_task = (_E.c.step_id == _T.c.step_id, after.c.item_id == _T.c.item_id)
    follows = select(after.c.id).select_from(joined).where(*of_task)
    is_output = and_(
        _O.c.attempt == _X.c.attempt, _O.c.name == _X.c.name, _O.c.position == _X.c.position
    )
    open_ones = follows.where(after.c.state.not_in(_SATISFIED))
    return (
        select(
            _X.c.attempt,
            _X.c.name,
            _X.c.position,
            _X.c.path,
            _X.c.task_id,
            _T.c.item_id,
            _O.c.size_bytes,
            _O.c.checksum,
        )
        .select_from(_X.join(_T, _T.c.id == _X.c.task_id).join(_O, is_output))
        .where(
            _X.c.removed_us.is_(None),
            _X.c.place == place,
            _T.c.attempt == _X.c.attempt,
            _T.c.state == TaskState.DONE.value,
            _T.c.step_id.not_in(select(_E.c.step_id).join(_U, _U.c.step_id == _E.c.successor_id)),
            or_(follows.exists(), _T.c.step_id.in_([use.step_id for use in by_groups])),
            ~open_ones.exists(),
            *(~needed(use) for use in by_groups),
        )
    )
