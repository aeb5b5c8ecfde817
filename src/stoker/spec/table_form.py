"""How a source's table is written: its columns and separator, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoker.model.source import TableForm
from stoker.spec.problems import nearest, suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stoker.spec.locate import Path
    from stoker.spec.pipeline_keys import ParamTable
    from stoker.spec.source_keys import SourceTable
    from stoker.spec.validate import Findings

MAX_COLUMNS = 10_000  # a table with more has its rows and columns exchanged, or is no table


def build_form(
    table: SourceTable, *, params: Mapping[str, ParamTable], path: Path, findings: Findings
) -> TableForm:
    """Return the form of the source's table, and report to `findings` what is wrong with it."""
    if table.table is None:
        return TableForm()
    columns = tuple(table.columns or ())
    form = TableForm(columns=columns, separator=table.separator, titles=table.params)
    _check_params(form, params, path, findings)
    _check_columns(form, params, path, findings)
    mark = table.separator
    if mark is not None and (mark.isalnum() or mark in "\"'#\r\n\0"):
        hint = "it is one character, as `;`, or a blank for any run of blanks and tabs"
        findings.add((*path, "separator"), f"{mark!r} cannot separate the fields of a table", hint)
    return form


def _check_params(
    form: TableForm, params: Mapping[str, ParamTable], path: Path, findings: Findings
) -> None:
    titles = list(form.titles.values())
    for name, title in form.titles.items():
        place = (*path, "params", name)
        if name not in params:
            findings.add(place, f"there is no parameter `{name}`", suggest(name, params))
        elif titles.count(title) > 1:
            hint = "each parameter has a column of its own"
            findings.add(place, f"two parameters are in the column `{title}`", hint)
        elif form.columns and title not in form.columns:
            hint = suggest(title, form.columns)
            findings.add(place, f"`{title}` is not one of the `columns`", hint)
        elif title in params and form.titles.get(title, title) == title and title != name:
            hint = f"name the column of `{title}` too, as in `params.{title} = …`"
            findings.add(place, f"the column `{title}` is that of the parameter `{title}`", hint)


def _check_columns(
    form: TableForm, params: Mapping[str, ParamTable], path: Path, findings: Findings
) -> None:
    if not form.columns:
        return
    place = (*path, "columns")
    if len(form.columns) > MAX_COLUMNS:
        findings.add(place, f"a table has at most {MAX_COLUMNS:,} columns")
    doubled = sorted({one for one in form.columns if form.columns.count(one) > 1})
    if doubled:
        findings.add(place, f"there are two columns `{doubled[0]}`", "rename one of them")
    titles = {name: form.titles.get(name, name) for name in params}
    missing = [name for name, title in titles.items() if title not in form.columns]
    for column in form.columns:
        near = None if column in titles.values() else nearest(column.lower(), missing)
        if near is not None and not column.startswith("#"):
            hint = f'rename it, or write `params.{near} = "{column}"`'
            findings.add(place, f"`{column}` resembles the parameter `{near}`", hint)
    for name, param in params.items():
        if param.required and form.titles.get(name, name) not in form.columns:
            message = f"no column holds the parameter `{name}`, which is required"
            findings.add(place, message, suggest(name, form.columns))
