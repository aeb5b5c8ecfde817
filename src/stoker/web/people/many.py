"""Many jobs at once, by pasting a table: each row is checked, and the good ones can go."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from stoker.errors import LimitReached, Unavailable
from stoker.model.pipeline import ItemKind, ParamType, Pipeline
from stoker.project.jobs.acceptance import Acceptance, Wanted
from stoker.project.jobs.validation import (
    Budget,
    FindFile,
    InvalidRequest,
    check_request,
    validator_environment,
)
from stoker.project.jobs.verbs import MOST_JOBS
from stoker.spec.problems import suggest
from stoker.spec.web import ITEM
from stoker.store.reports.offered import Offered
from stoker.web.access.forms import read_form
from stoker.web.answers import site_of
from stoker.web.caller import Caller, caller_of, require
from stoker.web.needs import Need
from stoker.web.ogc.seen import may_submit, process_named
from stoker.web.people.fields import error_text, field_of, read_fields
from stoker.web.problems import problem_of
from stoker.web.rendering import page
from stoker.web.routing import Operation, Resource
from stoker.web.site import Site
from stoker.web.uploads.naming import finder

BETWEEN = ";"  # several values in one cell
_SHOWN = 100  # characters of a cell
_WORDS = {"true": "true", "yes": "true", "1": "true", "false": "false", "no": "false", "0": "false"}


@dataclass(slots=True)
class Row:
    """One row: its line in the table, its cells, and what became of it."""

    number: int
    cells: Sequence[str]
    values: Mapping[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)  # the inputs that the errors are about
    key: str | None = None


@dataclass(slots=True)
class Table:
    """A table that was pasted. With a `problem` it cannot be read at all."""

    text: str = ""
    titles: Sequence[str] = ()
    rows: list[Row] = field(default_factory=list)
    problem: str = ""
    separator: str = "\t"

    def leave_rest(self) -> None:
        """The text has only the rows that have not become jobs, so that none becomes another one."""
        rest = [row.cells for row in self.rows if row.key is None]
        if self.separator == "\t":
            self.text = "".join("\t".join(cells) + "\n" for cells in [self.titles, *rest])
        else:
            made = io.StringIO()
            csv.writer(made, lineterminator="\n").writerows([self.titles, *rest])
            self.text = made.getvalue()
        self.text = self.text if rest else ""

    @property
    def good(self) -> list[Row]:
        """The rows without a mistake that have not become jobs."""
        return [row for row in self.rows if not row.errors and row.key is None]


async def _show(request: Request) -> Response:
    return _page(request, await process_named(request), Table())


async def _submit(request: Request) -> Response:
    """Each row is checked; with `go` those without a mistake become jobs."""
    site, caller, offered = site_of(request), caller_of(request), await process_named(request)
    if not may_submit(caller, offered):
        require(request, Need.SUBMITTER)
    form = await read_form(request)
    table = read_table(offered.pipeline, form.get("table", ""))
    status = 422 if table.problem else 200
    try:
        if not table.problem:
            await site.call(_look, site, caller, offered, table, goes="go" in form)
    except (LimitReached, Unavailable) as error:
        problem = problem_of(error)
        table.problem, status = problem.detail, problem.status
    if any(row.key for row in table.rows):
        site.on_registered()
    return _page(request, offered, table, status=status)


def read_table(pipeline: Pipeline, text: str) -> Table:
    """Return the rows of a table whose first line names inputs, by name or by title."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    table = Table(text=text)
    head = text.partition("\n")[0]
    separator = "\t" if "\t" in head else ","
    table.separator = separator
    try:
        lines = list(_reader(text, separator))
    except csv.Error as error:
        table.problem = f"the table cannot be read: {error}"
        return table
    filled = [(n, line) for n, line in enumerate(lines, 1) if any(cell.strip() for cell in line)]
    if len(filled) < 2:
        table.problem = "a table has a line with the names of inputs, and a line for each job"
        return table
    if len(filled) - 1 > MOST_JOBS:
        table.problem = f"a table has at most {MOST_JOBS:,} rows, and this has {len(filled) - 1:,}"
        return table
    table.titles = [cell.strip() for cell in filled[0][1]]
    names, table.problem = _names(pipeline, table.titles)
    if not table.problem:
        table.rows = [_row(pipeline, names, number, line) for number, line in filled[1:]]
    return table


def _reader(text: str, separator: str) -> Iterator[list[str]]:
    """A quote is an ordinary character between tabs."""
    if separator == "\t":
        return csv.reader(io.StringIO(text), delimiter=separator, quoting=csv.QUOTE_NONE)
    return csv.reader(io.StringIO(text), delimiter=separator)


def _names(pipeline: Pipeline, titles: Sequence[str]) -> tuple[list[str], str]:
    """Return the inputs that the columns are, and what is wrong with them."""
    known = {one.name: one.name for one in pipeline.params}
    known |= {one.title.casefold(): one.name for one in pipeline.params if one.title}
    if pipeline.items is not ItemKind.RECORDS:
        known |= {ITEM: ITEM, "file": ITEM}
    found = []
    for title in titles:
        name = known.get(title) or known.get(title.casefold())
        if name is None:
            hint = suggest(title, known) or "it has none"
            return [], f"there is no input `{title[:60]}`; {hint}"
        if name in found:
            return [], f"two columns are the input `{name}`"
        found.append(name)
    return found, ""


def _row(pipeline: Pipeline, names: Sequence[str], number: int, cells: Sequence[str]) -> Row:
    row = Row(number, [cell.strip() for cell in cells])
    if len(cells) > len(names):
        row.errors.append(f"it has {len(cells)} cells, and there are {len(names)} columns")
    params = {one.name: one for one in pipeline.params}
    fields: list[tuple[str, str]] = []
    empty = {one.name for one in pipeline.params if not one.required} - set(names)
    for name, cell in zip(names, row.cells, strict=False):
        param = params.get(name)
        is_list = param is not None and param.type is ParamType.LIST
        is_file = param is None or ParamType.PATH in (param.type, param.items)
        texts = [text.strip() for text in cell.split(BETWEEN)] if is_list else [cell]
        if not cell:
            empty.add(name)
            continue
        if param is not None and param.type is ParamType.BOOLEAN:
            if cell.casefold() not in _WORDS:
                row.errors.append(
                    f"{param.title or name} is `{cell[:40]}`; it is `true` or `false`"
                )
            texts = [_WORDS.get(cell.casefold(), "false")]
        fields += [(f"{'file' if is_file else 'in'}.{name}", text) for text in texts]
    given = read_fields(pipeline, fields, [])
    row.values = {name: value for name, value in given.values.items() if name not in empty}
    row.errors += [_said(pipeline, one) for one in given.errors]
    row.wrong |= {field_of(one) for one in given.errors}
    return row


def _look(site: Site, caller: Caller, offered: Offered, table: Table, *, goes: bool) -> None:
    """Note what is wrong with each row; with `goes` register the others."""
    pipeline = offered.pipeline
    find_file = finder(site, caller, pipeline)
    budget = Budget(environment=validator_environment(site.settings.all_secrets))
    if goes:
        acceptance = Acceptance(
            site.project.acting_as(caller.name),
            pipeline,
            client=caller.limited_by(pipeline.web),
            find_file=find_file,
        )
        rows = table.good
        bad = [row for row in table.rows if row.errors]
        _find_mistakes(pipeline, bad, find_file, budget)
        outcomes = acceptance.many([Wanted(inputs=row.values) for row in rows])
        for row, outcome in zip(rows, outcomes, strict=True):
            row.key = outcome.key
            row.errors += [_said(pipeline, one) for one in outcome.errors]
        table.leave_rest()
        return
    _find_mistakes(pipeline, table.rows, find_file, budget)


def _find_mistakes(
    pipeline: Pipeline, rows: Sequence[Row], find_file: FindFile, budget: Budget
) -> None:
    """All mistakes of each row are noted, beside those that are."""
    for row in rows:
        try:
            check_request(pipeline, row.values, find_file=find_file, budget=budget)
        except InvalidRequest as invalid:
            new = [one for one in invalid.errors if field_of(one) not in row.wrong]
            row.errors += [_said(pipeline, one) for one in new]


def _said(pipeline: Pipeline, error: Any) -> str:
    titles = {one.name: one.title or one.name for one in pipeline.params} | {ITEM: "File"}
    name = field_of(error)
    return f"{titles.get(name, name)} {error_text(error)}"


def _page(request: Request, offered: Offered, table: Table, *, status: int = 200) -> Response:
    pipeline = offered.pipeline
    titles = [one.name for one in pipeline.params]
    example = [] if pipeline.items is ItemKind.RECORDS else [ITEM]
    return page(
        request,
        "many.html",
        status=status,
        pipeline=pipeline,
        table=table,
        columns=[*example, *titles],
        most=MOST_JOBS,
        between=BETWEEN,
        rows=[
            (row, [cell[:_SHOWN] for cell in row.cells], "; ".join(row.errors))
            for row in table.rows
        ],
        wrong=sum(bool(row.errors) for row in table.rows),
        may_submit=may_submit(caller_of(request), offered),
    )


RESOURCES = [
    Resource(
        "/processes/{process}/many",
        {
            "GET": Operation(
                handle=_show, need=Need.OWN, summary="The page for many jobs, by a table"
            ),
            "POST": Operation(
                handle=_submit, need=Need.OWN, summary="Check a table, and submit its good rows"
            ),
        },
        name="many",
    ),
]
