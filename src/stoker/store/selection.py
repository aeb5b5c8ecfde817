"""Selections as SQL: the one place where the grammar of selection becomes a query."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, literal_column, or_, select, true

from stoker.errors import NotFound, UserError
from stoker.model.selection import Selection, after_prefix
from stoker.model.states import ItemState, State, TaskState
from stoker.store import tables
from stoker.store.dialects.constructs import globs
from stoker.store.unit import Unit

_T, _I, _P, _S, _A = tables.task, tables.item, tables.pipeline, tables.step, tables.attempt
_GLOB = frozenset("*?[")
_UNKNOWN = "no reason was recorded"
CAUSE = func.coalesce(_A.c.cause, _A.c.reason, literal_column(f"'{_UNKNOWN}'"))  # grouped by


def task_query(selection: Selection, *columns: Any) -> Select[Any]:
    """Return the query for these columns of the selected tasks.

    It runs over task, item, step, pipeline and the task's latest attempt; steps that were removed
    are left out.
    """
    joined = (
        _T.join(_I, _I.c.id == _T.c.item_id)
        .join(_S, _S.c.id == _T.c.step_id)
        .join(_P, _P.c.id == _I.c.pipeline_id)
        .outerjoin(_A, _A.c.id == _T.c.attempt)
    )
    return select(*columns).select_from(joined).where(*task_conditions(selection))


def task_conditions(selection: Selection) -> list[ColumnElement[bool]]:
    """Return what chooses the tasks among all, as conditions on the tables of `task_query`.

    Only `match` and `cause` are about the latest attempt.
    """
    conditions = of_items(selection)
    if selection.keys and not any(is_glob(key) for key in selection.keys):
        conditions.append(_T.c.item_id.in_(select(_I.c.id).where(has_key(selection.keys))))
    if selection.literal:
        conditions.append(_T.c.item_id.in_(select(_I.c.id).where(has_key(selection.literal))))
    conditions.append(_S.c.is_removed.is_(False))
    if selection.steps:
        conditions.append(_S.c.name.in_(selection.steps))
    if selection.states:
        conditions.append(in_states(_T.c.state, states_of(TaskState, selection.states)))
    if selection.match is not None:
        conditions.append(_matches(selection.match))
        if not selection.states:
            conditions.append(_may_match(selection.match))
    if selection.cause is not None:
        conditions.append(literal(selection.cause) == CAUSE)
    return conditions


def item_query(selection: Selection, *columns: Any, is_page: bool = False) -> Select[Any]:
    """Return the query for these columns of the selected items, over item and pipeline.

    With `is_page`, it is asked of a few items at a time.
    """
    joined = _I.join(_P, _P.c.id == _I.c.pipeline_id)
    conditions = of_items(selection)
    if selection.states:
        conditions.append(_I.c.state.in_(states_of(ItemState, selection.states)))
    of_tasks = Selection(steps=selection.steps, match=selection.match, cause=selection.cause)
    of_tasks = in_every_state(of_tasks) if is_page else of_tasks
    if selection.match is not None or selection.cause is not None:
        conditions.append(_I.c.id.in_(task_query(of_tasks, _T.c.item_id)))
    elif selection.steps:
        of_steps = select(_S.c.id).where(_S.c.name.in_(selection.steps), _S.c.is_removed.is_(False))
        has_one = select(_T.c.id).where(_T.c.item_id == _I.c.id, _T.c.step_id.in_(of_steps))
        conditions.append(has_one.exists())
    return select(*columns).select_from(joined).where(*conditions)


def in_every_state(selection: Selection) -> Selection:
    """Return the same selection of tasks for a query that is asked of a few of them at a time.

    For all tasks, `match` looks first through all attempts for those that may have the words.
    """
    if selection.match is None or selection.states:
        return selection
    return replace(selection, states=TaskState.words())


def check(unit: Unit, selection: Selection) -> None:
    """Raise for a selection that names what is not there, or a key that two pipelines have."""
    if selection.pipeline is not None:
        _named(unit, _P.c.name, "pipeline", selection.pipeline)
    for step in selection.steps:
        _named(unit, _S.c.name, "step", step)
    if selection.pipeline is None:
        exact = (key for key in selection.keys if not is_glob(key))
        for key in (*exact, *selection.literal):
            _refuse_ambiguous(unit, key)


def is_glob(key: str) -> bool:
    """Whether `key` is a pattern rather than one key."""
    return bool(_GLOB & set(key))


def where_filter(selection: Selection) -> "WhereFilter | None":
    """Return what decides `--where` for a row; None where there is no such condition."""
    return WhereFilter(selection.where) if selection.where is not None else None


class WhereFilter:
    """A CEL condition over an item's `key`, `params`, `meta`, `size` and a task's `values`, `state`.

    UserError at once for a text that is no condition or speaks of anything else.
    """

    NAMES = ("key", "params", "meta", "values", "state", "size")

    def __init__(self, text: str) -> None:
        from stoker.spec.condition import Condition

        try:
            self._condition = Condition(text)
        except ValueError as error:
            raise UserError(f"`--where {text}` is not a condition: {error}") from None
        for name in self._condition.names:
            if name not in self.NAMES:
                raise UserError(
                    f"`--where {text}` speaks of `{name}`; "
                    f"a condition is over {', '.join(self.NAMES)}"
                )

    def choose(self, unit: Unit, rows: Sequence[Any], kind: type[State]) -> list[Any]:
        """Return the rows for which it is true; a name that is missing in the data makes it false.

        Rows have `item_id`, `key`, `params`, `meta`, `size_bytes` and `state`, which is a number of
        `kind`. `values` are those of all steps of the item, as in a step's `when`.
        """
        values = self._values(unit, sorted({row.item_id for row in rows}))
        return [row for row in rows if self._holds(row, values.get(row.item_id, {}), kind)]

    def _holds(self, row: Any, values: dict[str, Any], kind: type[State]) -> bool:
        try:
            return self._condition.holds(
                key=row.key,
                params=json.loads(row.params),
                meta=json.loads(row.meta),
                size=row.size_bytes or 0,
                state=kind(row.state).word,
                values=values,
            )
        except UserError:
            return False  # this row lacks what the condition asks about

    def _values(self, unit: Unit, items: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return what the items' steps wrote for later ones, by item and step."""
        if not items or "values" not in self._condition.names:
            return {}
        query = (
            select(_T.c.item_id, _S.c.name, _A.c.step_values)
            .select_from(_T.join(_A, _A.c.id == _T.c.attempt).join(_S, _S.c.id == _T.c.step_id))
            .where(_T.c.item_id.in_(items), _A.c.step_values.is_not(None))
        )
        found: dict[int, dict[str, Any]] = {}
        for item_id, step, values in unit.execute(query):
            found.setdefault(item_id, {})[step] = json.loads(values)
        return found


def of_items(selection: Selection) -> list[ColumnElement[bool]]:
    """Return what chooses the items among all, but for their state and their tasks."""
    conditions: list[ColumnElement[bool]] = []
    if selection.pipeline is not None:
        conditions.append(_P.c.name == selection.pipeline)
    if selection.keys:
        exact = list(selection.keys)  # a key may have a glob's characters
        patterns = [globs(_I.c.key, key) for key in selection.keys if is_glob(key)]
        conditions.append(or_(has_key(exact), *patterns))
    if selection.literal:
        conditions.append(has_key(selection.literal))
    if selection.from_key is not None:
        conditions.append(_I.c.key >= selection.from_key)
    if selection.to_key is not None:
        conditions.append(not_after(selection.to_key))
    if selection.by is not None:
        conditions.append(_I.c.by_user == selection.by)
    return conditions


def has_key(keys: Sequence[str]) -> ColumnElement[bool]:
    """Whether the item has one of these keys, said so that the index of keys finds it."""
    return and_(_I.c.pipeline_id.in_(select(_P.c.id)), _I.c.key.in_(keys))


def not_after(prefix: str) -> ColumnElement[bool]:
    """Whether the item's key is at most `prefix`, or begins with it."""
    after = after_prefix(prefix)
    return _I.c.key < after if after is not None else true()


def in_states(column: ColumnElement[int], states: Sequence[int]) -> ColumnElement[bool]:
    """The condition on a state; a single one stands in the text, for its partial index."""
    if len(states) == 1:
        return column == literal(states[0], literal_execute=True)
    return column.in_(states)


def says(words: str, *columns: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether one of the columns has these words, in whatever case."""
    low = words.lower()
    return or_(
        *(
            and_(column.is_not(None), func.lower(column).contains(low, autoescape=True))
            for column in columns
        )
    )


def _matches(words: str) -> ColumnElement[bool]:
    """Whether the latest attempt's cause or reason, or the task's own, has these words."""
    return says(words, _A.c.cause, _A.c.reason, _T.c.reason)


def _may_match(words: str) -> ColumnElement[bool]:
    """Whether any attempt or the task itself has these words: found before anything is joined.

    For all tasks, of which most have nothing to say; not for a state that few are in.
    """
    every = tables.attempt.alias("any")
    inner = select(every.c.task_id).where(says(words, every.c.cause, every.c.reason))
    return or_(_T.c.id.in_(inner), says(words, _T.c.reason))


def states_of(kind: type[TaskState] | type[ItemState], words: Sequence[str]) -> list[int]:
    """Return the numbers of the states with these words; UserError names those that there are."""
    found = []
    for word in words:
        try:
            found.append(kind.of(word).value)
        except KeyError:
            raise UserError(
                f"`{word}` is not a state here; the states are {', '.join(kind.words())}"
            ) from None
    return found


def _named(unit: Unit, column: Any, what: str, name: str) -> None:
    import difflib

    names = sorted(set(unit.execute(select(column)).scalars()))
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"there is {', '.join(names) or 'none'}"
        raise NotFound(f"the store has no {what} `{name}`; {hint}")


def _refuse_ambiguous(unit: Unit, key: str) -> None:
    query = select(_P.c.name).join(_I, _I.c.pipeline_id == _P.c.id).where(has_key([key]))
    names = sorted(unit.execute(query).scalars())
    if len(names) > 1:
        raise UserError(
            f"`{key}` is an item of {' and of '.join(f'`{name}`' for name in names)}; "
            "say which with `--pipeline`"
        )
