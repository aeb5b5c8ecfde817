"""How the ids of a page are picked: by which index, for what a selection asks and a database has.

What is picked is asked the rest of the selection once it is joined. The rest names no pipelines and
steps any more where these were heeded before: they would tempt a database to begin with them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, func, or_, select

from stoker.model.selection import Selection
from stoker.model.states import AttemptState, ItemState, TaskState
from stoker.store import tables
from stoker.store.dialects.constructs import by_index, in_written_order
from stoker.store.paging import Known, Pick
from stoker.store.selection import in_states, is_glob, not_after, of_items, states_of
from stoker.store.unit import Unit

_T, _I, _P, _S, _X = (
    tables.task, tables.item, tables.pipeline, tables.step, tables.attempt,
)  # fmt: skip
_SELDOM_TASKS = frozenset(
    {TaskState.RUNNING, TaskState.HELD, TaskState.FAILED, TaskState.CANCELLED}
)
_UNTRIED = frozenset({TaskState.BLOCKED, TaskState.READY, TaskState.SKIPPED})
_FEW = 5_000  # items, or tasks that were tried, whose ids are read before anything else
_AMONG = 20_000  # attempts that are looked through for those of some steps
_OFTEN = 20  # attempts, to one that is chosen: looking through all in their order finds enough


class Picked(NamedTuple):
    """What picks the ids of pages (None: all, in their order), and the rest of the selection.

    `steps`: of which steps what is picked has to be, where that is still to be asked.
    """

    pick: Pick | Known | None
    rest: Selection
    steps: Sequence[int] | None = None


def pick_tasks(unit: Unit, selection: Selection) -> Picked:
    """Return what picks the selected tasks.

    By their items where these are few. Of a state that few tasks are in by its index, whatever else
    is asked of them; by any states and steps if nothing else is. Those that somebody has seen, by
    their ids.
    """
    if selection.tasks is not None:
        return Picked(Known(selection.tasks), selection)
    states = sorted(set(states_of(TaskState, selection.states)))
    rest = replace(selection, pipeline=None, steps=())
    items = _few_items(unit, selection)
    if items is not None:
        few = [
            _of_states_and_steps(unit, selection, states).where(_T.c.item_id.in_(piece))
            for piece in _pieces(items)
        ]
        return Picked(Pick(_T.c.id, few), rest)
    is_seldom = bool(states) and _SELDOM_TASKS.issuperset(states)
    is_narrowed = bool(states or selection.pipeline or selection.steps)
    if not is_seldom and not (is_narrowed and _is_by_state_and_step(selection)):
        return Picked(None, selection)
    steps = _steps(unit, selection)
    ranges = [_tasks_in(state, step) for state in states or list(TaskState) for step in steps]
    return Picked(Pick(_T.c.id, ranges), rest)


def pick_items(unit: Unit, selection: Selection) -> Picked:
    """Return what picks the selected items.

    All at once where they are few. Of a state that few are in by its index, whatever else is asked of
    them; by any states, the pipeline and what steps it has if nothing else is.
    """
    states = sorted(set(states_of(ItemState, selection.states)))
    rest = replace(selection, pipeline=None)
    items = _few_items(unit, selection)
    if items is not None:
        few = [select(_I.c.id).where(_I.c.id.in_(piece)) for piece in _pieces(items)]
        return Picked(Pick(_I.c.id, few), rest)
    is_seldom = bool(states) and all(state < ItemState.WAITING for state in states)
    is_narrowed = bool(states or selection.pipeline or selection.steps)
    if not is_seldom and not (is_narrowed and _is_by_state_and_step(selection)):
        return Picked(None, selection)
    having = select(_S.c.pipeline_id).where(_S.c.id.in_(_steps(unit, selection)))
    of = (
        sorted(set(unit.execute(having).scalars()))
        if selection.steps
        else _pipelines(unit, selection)
    )
    ranges = [_items_in(state, pipeline) for state in states or list(ItemState) for pipeline in of]
    return Picked(Pick(_I.c.id, ranges), rest)


def pick_attempts(unit: Unit, selection: Selection) -> Picked:
    """Return what picks the attempts; `states` are those of attempts.

    By their items where these are few. Of a state that few are in by its index. Those of steps of which
    many were tried in the order of their ids, else among the ids of their tasks, or by the tasks that
    were tried.
    """
    states = sorted({AttemptState.of(word) for word in selection.states})
    is_of_steps = bool(selection.pipeline or selection.steps)
    steps = _steps(unit, selection) if is_of_steps else None
    rest = replace(selection, pipeline=None, steps=())
    of_tasks = select(_X.c.id).select_from(_T.join(_X, _X.c.task_id == _T.c.id))
    items = _few_items(unit, selection)
    if items is not None:
        few = [in_written_order(of_tasks.where(_T.c.item_id.in_(ids))) for ids in _pieces(items)]
        return Picked(Pick(_X.c.id, few), rest, steps)
    if states and AttemptState.SUCCEEDED not in states:
        return Picked(Pick(_X.c.id, [_attempts_in(state) for state in states]), rest, steps)
    if steps is None or not _is_by_state_and_step(selection):
        return Picked(None, selection)
    if not _are_often_tried(unit, steps):
        if (among := _among(unit, steps)) is not None:
            return Picked(Known(among), rest)
        if (tried := _few_tried(unit, steps)) is not None:
            few = [select(_X.c.id).where(_X.c.task_id.in_(piece)) for piece in _pieces(tried)]
            return Picked(Pick(_X.c.id, few), rest)
    in_order = select(_X.c.id).select_from(_X.join(_T, _T.c.id == _X.c.task_id))
    ranges = [in_written_order(in_order.where(_T.c.step_id.in_(steps)))]
    return Picked(Pick(_X.c.id, ranges), rest)


def _few_items(unit: Unit, selection: Selection) -> Sequence[int] | None:
    """Return the items that keys or a user choose; None where these are many, or not asked for."""
    is_bounded = selection.from_key is not None or selection.to_key is not None
    if not (selection.keys or selection.literal or is_bounded or selection.by is not None):
        return None
    keys, pipelines = selection.keys, _pipelines(unit, selection)
    query = select(_I.c.id).where(
        _I.c.pipeline_id.in_(pipelines), *of_items(replace(selection, pipeline=None))
    )
    if selection.literal or (keys and not any(map(is_glob, keys))):
        found: Sequence[int] = unit.execute(query).scalars().all()
        return found  # no more than were named
    if keys and all(map(_literal, keys)):
        begins = [and_(_I.c.key >= _literal(key), not_after(_literal(key))) for key in keys]
        query = query.where(or_(*begins))
    found = unit.execute(query.limit(_FEW + 1)).scalars().all()
    return found if len(found) <= _FEW else None


def _literal(key: str) -> str:
    """Return how every key begins that the glob matches."""
    return key[: next((at for at, one in enumerate(key) if is_glob(one)), len(key))]


def _among(unit: Unit, steps: Sequence[int]) -> Sequence[bytes] | None:
    """Return the attempts of these steps' tasks; None where many others are among them.

    A step's tasks mostly have ids close to each other.
    """
    ids = [id_ for row in unit.execute(_ends(steps)) for id_ in row if id_ is not None]
    if not ids:
        return []
    within = _X.c.task_id.between(min(ids), max(ids))
    some = select(_X.c.id, _X.c.task_id).where(within).limit(_AMONG + 1).subquery("some")
    query = select(some.c.id, _T.c.step_id).join(_T, _T.c.id == some.c.task_id)
    rows = unit.execute(query).fetchall()
    return [row.id for row in rows if row.step_id in steps] if len(rows) <= _AMONG else None


def _few_tried(unit: Unit, steps: Sequence[int]) -> Sequence[int] | None:
    """Return the tasks of these steps that have had an attempt; None where these are many."""
    query = select(_T.c.id).where(_T.c.step_id.in_(steps), _T.c.number > 0).limit(_FEW + 1)
    found: Sequence[int] = unit.execute(query).scalars().all()
    return found if len(found) <= _FEW else None


def _ends(steps: Sequence[int]) -> Select[Any]:
    """Return the query for the first and the last of each step's tasks in each state."""
    ends = [
        by_index(
            select(_T.c.id).where(_T.c.step_id == _S.c.id, in_states(_T.c.state, [state])),
            _T,
            "task_state",
        )
        .order_by(end)
        .limit(1)
        .scalar_subquery()
        for state in TaskState
        for end in (_T.c.id.asc(), _T.c.id.desc())
    ]
    return select(*ends).where(_S.c.id.in_(steps))


def _are_often_tried(unit: Unit, steps: Sequence[int]) -> bool:
    """Whether, by the counts, a good part of all attempts is of these steps."""
    tally = tables.tally
    n = func.coalesce(func.sum(tally.c.n), 0)
    tried = select(n).where(tally.c.state.not_in(_UNTRIED))
    of_steps = unit.execute(tried.where(tally.c.step_id.in_(steps))).scalar_one()
    return bool(of_steps * _OFTEN >= unit.execute(tried).scalar_one())


def _is_by_state_and_step(selection: Selection) -> bool:
    """Whether nothing is asked that only a joined row can tell, or that is asked of each row later."""
    bare = Selection(pipeline=selection.pipeline, steps=selection.steps, states=selection.states)
    return replace(selection, where=None) == bare


def _pipelines(unit: Unit, selection: Selection) -> Sequence[int]:
    query = select(_P.c.id)
    if selection.pipeline is not None:
        query = query.where(_P.c.name == selection.pipeline)
    found: Sequence[int] = unit.execute(query).scalars().all()
    return found


def _steps(unit: Unit, selection: Selection) -> Sequence[int]:
    query = select(_S.c.id).join(_P, _P.c.id == _S.c.pipeline_id).where(_S.c.is_removed.is_(False))
    if selection.pipeline is not None:
        query = query.where(_P.c.name == selection.pipeline)
    if selection.steps:
        query = query.where(_S.c.name.in_(selection.steps))
    found: Sequence[int] = unit.execute(query).scalars().all()
    return found


def _of_states_and_steps(unit: Unit, selection: Selection, states: Sequence[int]) -> Select[Any]:
    found = select(_T.c.id)
    if selection.pipeline or selection.steps:
        found = found.where(_T.c.step_id.in_(_steps(unit, selection)))
    return found.where(in_states(_T.c.state, states)) if states else found


def _tasks_in(state: int, step: int) -> Select[Any]:
    found = select(_T.c.id).where(_T.c.step_id == step, in_states(_T.c.state, [state]))
    return by_index(found, _T, "task_state")


def _items_in(state: int, pipeline: int) -> Select[Any]:
    found = select(_I.c.id).where(_I.c.pipeline_id == pipeline, in_states(_I.c.state, [state]))
    return by_index(found, _I, "item_state")


def _attempts_in(state: int) -> Select[Any]:
    found = select(_X.c.id).where(in_states(_X.c.state, [state]))
    return by_index(found, _X, "attempt_running")


def _pieces(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[at : at + _FEW] for at in range(0, len(ids), _FEW))
