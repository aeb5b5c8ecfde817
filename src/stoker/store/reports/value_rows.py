"""The items of a pipeline with what their steps have left, in the order of their keys.

One state of the store, read in pages: a table of a million items needs the memory of one page.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from stoker.errors import NotFound
from stoker.model.selection import Selection
from stoker.model.states import ItemState, TaskState
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.forecasts.freshness import catch_up
from stoker.store.unit import Prepared, Unit, in_parts, param, param_list

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _I, _P, _S, _A, _O = (
    tables.task, tables.item, tables.pipeline, tables.step, tables.attempt, tables.output,
)  # fmt: skip
PAGE = 2_000
FOLD_LIMIT_S = 10.0
_SATISFIED = frozenset(state.value for state in TaskState if state.is_satisfied)
_DONE = TaskState.DONE.value
_NOTHING: dict[str, Any] = {}
_TASKS = Prepared(
    select(_T.c.item_id, _T.c.step_id, _T.c.state, _T.c.attempt, _A.c.step_values)
    .select_from(_T.outerjoin(_A, _A.c.id == _T.c.attempt))
    .where(_T.c.item_id.in_(param_list("items")))
)
_OUTPUTS = Prepared(
    select(_O.c.attempt, _O.c.name, _O.c.path)
    .where(_O.c.attempt.in_(param_list("attempts")))
    .order_by(_O.c.attempt, _O.c.name, _O.c.position)
)
_ITEMS = Prepared(
    select(_I.c.id, _I.c.key, _I.c.params, _I.c.meta)
    .where(_I.c.pipeline_id == param("pipeline_id"), _I.c.key > param("last"))
    .order_by(_I.c.key)
    .limit(PAGE)
)


@dataclass(slots=True)
class ValueRow:
    """One item: `values` and `outputs` are those of its done steps, by step."""

    key: str
    params: dict[str, Any]
    meta: dict[str, Any]
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, dict[str, list[str]]] = field(default_factory=dict)


def value_rows(
    store: "Store",
    pipeline: str,
    *,
    steps: frozenset[str] | None,
    selection: Selection | None = None,
    with_outputs: bool = False,
) -> Iterator[list[ValueRow]]:
    """Yield the pipeline's items of which all of these steps are done or skipped, some at a time.

    Without `steps` all steps have to be. NotFound for a pipeline that the store does not know.
    """
    if selection is not None:
        catch_up(store, fold_s=FOLD_LIMIT_S)
    with store.reading() as unit, store.dialect.sparing(unit.cursor):
        row = unit.execute(select(_P.c.id).where(_P.c.name == pipeline)).one_or_none()
        if row is None:
            raise NotFound(f"the store has no pipeline `{pipeline}` yet; `stoker run` begins")
        of_steps = select(_S.c.id, _S.c.name).where(_S.c.pipeline_id == row.id, ~_S.c.is_removed)
        names = {one.id: one.name for one in unit.execute(of_steps)}
        needed = {id_ for id_, name in names.items() if steps is None or name in steps}
        reader = _Reader(unit, names, needed, with_outputs=with_outputs)
        for items in _items(unit, row.id, selection):
            found = reader.rows(items)
            if found:
                yield found


def _items(unit: Unit, pipeline_id: int, selection: Selection | None) -> Iterator[Sequence[Any]]:
    """Yield id, key, params and meta of the items in pages, by key."""
    last = ""
    if selection is None:
        while rows := unit.run(_ITEMS, pipeline_id=pipeline_id, last=last).fetchall():
            yield rows
            last = rows[-1][1]
        return
    selections.check(unit, selection)
    where = selections.where_filter(selection)
    query = selections.item_query(
        selection, _I.c.id, _I.c.key, _I.c.params, _I.c.meta, _I.c.size_bytes, _I.c.state,
        _I.c.id.label("item_id"),
    ).where(_I.c.pipeline_id == pipeline_id)  # fmt: skip
    while True:
        page = query.where(_I.c.key > last).order_by(_I.c.key).limit(PAGE)
        found = unit.execute(page).fetchall()
        if not found:
            return
        last = found[-1].key
        yield where.choose(unit, found, ItemState) if where is not None else found


class _Reader:
    """Reads what the steps of some items have left."""

    def __init__(
        self, unit: Unit, names: dict[int, str], needed: set[int], *, with_outputs: bool
    ) -> None:
        self._unit = unit
        self._names = names
        self._needed = needed
        self._with_outputs = with_outputs

    def rows(self, items: Sequence[Any]) -> list[ValueRow]:
        """Return the items that have all that is needed, in their order."""
        if not items:
            return []
        names, needed = self._names, self._needed
        values: dict[int, dict[str, dict[str, Any]]] = {row[0]: {} for row in items}
        satisfied = dict.fromkeys(values, 0)
        done: dict[bytes, tuple[int, str]] = {}
        for item_id, step_id, state, attempt, text in self._unit.run(_TASKS, items=list(values)):
            if state not in _SATISFIED or step_id not in names:
                continue
            if step_id in needed:
                satisfied[item_id] += 1
            if state == _DONE:
                if text:
                    values[item_id][names[step_id]] = json.loads(text)
                if self._with_outputs:
                    done[bytes(attempt)] = (item_id, names[step_id])
        n = len(needed)
        rows = {
            row[0]: ValueRow(row[1], _object(row[2]), _object(row[3]), values[row[0]])
            for row in items
            if satisfied[row[0]] == n
        }
        if done:
            self._add_outputs(rows, done)
        return list(rows.values())

    def _add_outputs(self, rows: dict[int, ValueRow], done: dict[bytes, tuple[int, str]]) -> None:
        found = (
            row
            for some in in_parts(sorted(done))
            for row in self._unit.run(_OUTPUTS, attempts=some).fetchall()
        )
        for attempt, name, path in found:
            item_id, step = done[bytes(attempt)]
            if item_id in rows:
                of_step = rows[item_id].outputs.setdefault(step, {})
                of_step.setdefault(name, []).append(os.fsdecode(bytes(path)))


def _object(text: str) -> dict[str, Any]:
    if text == "{}":
        return _NOTHING
    found: dict[str, Any] = json.loads(text)
    return found
