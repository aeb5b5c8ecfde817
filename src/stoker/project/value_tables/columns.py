"""Owns what a table's columns are: where each gets its values, and the one type of all of them.

A column has the narrowest type that fits all its values: integer within number, everything within
text. Lists and objects are text, as JSON.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Any

from stoker.errors import UserError
from stoker.model.pipeline import Pipeline
from stoker.model.words import shown
from stoker.store.reports.value_rows import ValueRow

MOST_COLUMNS = 1_000
_INT64 = 1 << 63


class Kind(IntEnum):
    """The type of a column."""

    NOTHING = 0  # no row has a value
    BOOLEAN = 1
    INTEGER = 2
    NUMBER = 3
    TEXT = 4


_KINDS: dict[type, Kind] = {
    type(None): Kind.NOTHING,
    bool: Kind.BOOLEAN,
    int: Kind.INTEGER,
    float: Kind.NUMBER,
}


def kind_of(value: Any) -> Kind:
    """Return the narrowest type that fits the value; of a whole number beyond 64 bits, text."""
    kind = _KINDS.get(type(value), Kind.TEXT)
    return Kind.TEXT if kind is Kind.INTEGER and not -_INT64 <= value < _INT64 else kind


def widened(one: Kind, other: Kind) -> Kind:
    """Return the narrowest type that fits values of both."""
    low, high = sorted((one, other))
    if low in (high, Kind.NOTHING):
        return high
    return high if (low, high) == (Kind.INTEGER, Kind.NUMBER) else Kind.TEXT


def as_kind(value: Any, kind: Kind) -> Any:
    """Return the value as a column of this type has it."""
    if value is None:
        return None
    if kind is Kind.TEXT:
        return text_of(value)
    return float(value) if kind is Kind.NUMBER else value


def text_of(value: Any) -> str:
    """Return the value as text that is UTF-8, whatever the bytes of a name were."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return shown(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


class Columns:
    """The columns of one table: those that are named, or all that there turn out to be.

    `take` is given every row, and returns it as plain values; `names` and `kinds` are complete when it
    has seen all, and `cells` then returns the row's cells.
    """

    def __init__(self, pipeline: Pipeline, named: Sequence[str]) -> None:
        self._named = tuple(named)
        self._getters = [_getter(name) for name in named or _fixed(pipeline)]
        self._fixed = tuple(named or _fixed(pipeline))
        self._fixed_kinds = [Kind.NOTHING] * len(self._fixed)
        self._steps = [step.name for step in pipeline.steps]
        self._found: dict[tuple[str, str], Kind] = {}

    @property
    def with_outputs(self) -> bool:
        """Whether a column has paths of outputs."""
        return any(name.startswith("outputs.") for name in self._named)

    @property
    def names(self) -> tuple[str, ...]:
        """The titles."""
        return (*self._fixed, *(f"values.{step}.{name}" for step, name in self._others()))

    @property
    def kinds(self) -> list[Kind]:
        """The type of each column; text for one without values."""
        kinds = [*self._fixed_kinds, *(self._found[one] for one in self._others())]
        return [kind or Kind.TEXT for kind in kinds]

    def _others(self) -> list[tuple[str, str]]:
        """Return step and name of the values that were found, by the order of the steps."""
        place = {step: at for at, step in enumerate(self._steps)}
        return sorted(self._found, key=lambda one: (place.get(one[0], len(place)), one))

    def take(self, row: ValueRow) -> tuple[Any, ...]:
        """Return what `cells` needs of the row. UserError for too many columns."""
        cells = [get(row) for get in self._getters]
        kinds = self._fixed_kinds
        for at, cell in enumerate(cells):
            kind = kind_of(cell)
            if kind is not kinds[at]:
                kinds[at] = widened(kinds[at], kind)
        if self._named:
            return (*cells, None)
        for step, values in row.values.items():
            for name, value in values.items():
                self._note(step, name, value)
        return (*cells, row.values)

    def _note(self, step: str, name: str, value: Any) -> None:
        kind, known = kind_of(value), self._found.get((step, name))
        if known is None:
            if len(self._found) + len(self._fixed) >= MOST_COLUMNS:
                raise UserError(
                    f"the steps have written more than {MOST_COLUMNS:,} values with different names; "
                    "name those that the table is to have in `columns`"
                )
            self._found[step, name] = kind
        elif kind is not known:
            self._found[step, name] = widened(known, kind)

    def cells(self, taken: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
        """Return rows of cells, each in its column's type, from what `take` has returned."""
        others, kinds = self._others(), self.kinds
        rows = []
        for *cells, values in taken:
            if values is not None:
                cells += [values.get(step, {}).get(name) for step, name in others]
            rows.append(list(map(as_kind, cells, kinds)))
        return rows


def _fixed(pipeline: Pipeline) -> tuple[str, ...]:
    return ("key", *(f"params.{param.name}" for param in pipeline.params))


def _getter(column: str) -> Callable[[ValueRow], Any]:
    """Return what finds the column's value in a row."""
    root, *rest = column.split(".")
    if root == "key":
        return lambda row: row.key
    if root == "params":
        return lambda row: row.params.get(rest[0])
    if root == "meta":
        return lambda row: row.meta.get(rest[0])
    step, name = rest
    if root == "values":
        return lambda row: row.values.get(step, {}).get(name)

    def paths(row: ValueRow) -> Any:
        found = row.outputs.get(step, {}).get(name)
        return found[0] if found is not None and len(found) == 1 else found

    return paths
