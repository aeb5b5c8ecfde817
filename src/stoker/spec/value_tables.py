"""Tables of values (rule D): what their columns name, and what is wrong with one."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING

from stoker.errors import UserError
from stoker.model.pipeline import ValueTable
from stoker.spec.locations import absolute
from stoker.spec.parts import Placeholder, parse
from stoker.spec.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stoker.model.pipeline import Pipeline
    from stoker.spec.locate import Path
    from stoker.spec.result_keys import ValueTableTable
    from stoker.spec.validate import Findings

SUFFIXES = (".csv", ".tsv", ".sqlite", ".parquet")
_ROOTS = {"key": 1, "params": 2, "meta": 2, "values": 3, "outputs": 3}
_SHAPES = "`key`, `params.x`, `meta.x`, `values.STEP.x` or `outputs.STEP.x`"
_STEP = re.compile(r"\bvalues\.([a-z]\w*)", re.ASCII)


def build_tables(
    tables: Mapping[str, ValueTableTable], path: Path, folder: str, findings: Findings
) -> tuple[ValueTable, ...]:
    """Return the tables as the file has them, with what is wrong with their paths reported."""
    built = []
    for name, table in tables.items():
        place = (*path, "tables", name)
        if not table.to:
            if not findings.has(place):
                findings.add(place, f"table `{name}` has no path", 'write `"results/all.csv"`')
            continue
        at = (*place, "to") if findings.is_at((*place, "to")) else place
        if any(isinstance(part, Placeholder) for part in parse(table.to)):
            findings.add(at, "a table has one path for all items, so it takes no names in braces")
        elif not table.to.endswith(SUFFIXES):
            known = ", ".join(f"`{suffix}`" for suffix in SUFFIXES)
            findings.add(at, f"`{table.to}` is not the name of a table", f"it ends with {known}")
        built.append(
            ValueTable(
                name=name,
                to=absolute(table.to, folder),
                columns=tuple(table.columns),
                where=table.where,
            )
        )
    return tuple(built)


def check_tables(pipeline: Pipeline, path: Path, findings: Findings) -> None:
    """Report columns and conditions that name what is not there, and paths that are taken."""
    taken: dict[str, str] = {}
    for table in pipeline.tables:
        place = (*path, "tables", table.name)
        for index, column in enumerate(table.columns):
            fault = fault_of_column(column, pipeline)
            if fault is not None:
                findings.add((*place, "columns", index), *fault)
            elif column in table.columns[:index]:
                findings.add((*place, "columns", index), f"column `{column}` is there twice")
        if table.where is not None:
            _check_where(table.where, pipeline, (*place, "where"), findings)
        other = taken.setdefault(os.path.normpath(table.to), table.name)
        if other != table.name:
            findings.add(place, f"tables `{other}` and `{table.name}` have one path")


def _check_where(where: str, pipeline: Pipeline, path: Path, findings: Findings) -> None:
    from stoker.spec.condition import find_faults

    params = [param.name for param in pipeline.params]
    steps = [step.name for step in pipeline.steps]
    for message, hint in find_faults(where, params=params, steps=steps):
        findings.add(path, message.replace("`when`", "`where`").replace("other step", "step"), hint)


def fault_of_column(column: str, pipeline: Pipeline) -> tuple[str, str] | None:
    """Return message and hint where a column names nothing; None where it may name something."""
    root, *rest = column.split(".")
    if root not in _ROOTS:
        return f"`{column}` is not a column", f"a column is {_SHAPES}"
    if len(rest) + 1 != _ROOTS[root] or not all(rest):
        return f"`{column}` has the wrong number of parts", f"a column is {_SHAPES}"
    if root == "params":
        params = [param.name for param in pipeline.params]
        if rest[0] not in params:
            return f"`{column}`: there is no parameter `{rest[0]}`", suggest(rest[0], params)
    if root in ("values", "outputs"):
        steps = {step.name: step for step in pipeline.steps}
        if rest[0] not in steps:
            return f"`{column}`: there is no step `{rest[0]}`", suggest(rest[0], steps)
        outputs = [output.name for output in steps[rest[0]].outputs]
        if root == "outputs" and rest[1] not in outputs:
            return (
                f"`{column}`: step `{rest[0]}` has no output `{rest[1]}`",
                suggest(rest[1], outputs),
            )
    return None


def steps_needed(
    pipeline: Pipeline, columns: Sequence[str], where: str | None
) -> frozenset[str] | None:
    """Return the steps that have to be done for an item to have a row; None: all of them."""
    if not columns:
        return None
    named = {
        column.split(".")[1] for column in columns if column.startswith(("values.", "outputs."))
    }
    steps = {step.name for step in pipeline.steps}
    return frozenset(named | (set(_STEP.findall(where or "")) & steps))


def parse_columns(text: str, pipeline: Pipeline) -> tuple[str, ...]:
    """Return the columns that a text names, joined by commas; UserError for one that names nothing."""
    columns = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not columns:
        raise UserError(f"`--columns` names none; a column is {_SHAPES}")
    for column in columns:
        fault = fault_of_column(column, pipeline)
        if fault is not None:
            message, hint = fault
            raise UserError(f"{message}; {hint}" if hint else message)
    return columns
