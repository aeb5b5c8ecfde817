"""Failures by cause: what happened, to how many, what to do about it, and doing it."""

from starlette.requests import Request
from starlette.responses import Response

from stoker.model.selection import Selection
from stoker.store.story_rows import FailureRow
from stoker.web.answers import site_of
from stoker.web.needs import Need
from stoker.web.panel.frame import panel_of, panel_page
from stoker.web.panel.selecting import QUERY, asked, command_of, parts_of, query_of
from stoker.web.routing import Operation, Resource

MOST = 200  # causes on the page: beyond these, nobody reads on


async def _show(request: Request) -> Response:
    chosen = asked(request)
    if chosen == Selection():
        seen = await panel_of(request).failures.get()
        rows, at = list(seen.value), seen.at
    else:
        site = site_of(request)
        rows, at = list(await site.call(site.project.failures, selection=chosen)), None
    return await panel_page(
        request,
        "failures.html",
        active="failures",
        rows=rows[:MOST],
        n_causes=len(rows),
        n_failed=sum(row.n for row in rows if row.step is not None),
        n_quarantined=sum(row.n for row in rows if row.step is None),
        read_at=at,
        chips=list(parts_of(chosen)),
        selection_of_cause=selection_of_cause,
        query_of=query_of,
        command=command_of("failures", chosen),
    )


def selection_of_cause(row: FailureRow) -> Selection:
    """Return the tasks, or the quarantined items, that a row counts."""
    if row.step is None:
        return Selection(pipeline=row.pipeline, states=("quarantined",), match=row.cause)
    return Selection(pipeline=row.pipeline, steps=(row.step,), states=("failed",), cause=row.cause)


RESOURCES = [
    Resource(
        "/failures",
        {
            "GET": Operation(
                handle=_show, need=Need.VIEWER, summary="Failures by cause", query=QUERY
            )
        },
        name="failures",
    )
]
