"""One pipeline: its steps as a graph with counts, and where each of them leads."""

from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from stoker.errors import Unavailable
from stoker.model.selection import Selection
from stoker.web.answers import site_of
from stoker.web.caller import caller_of
from stoker.web.needs import Need
from stoker.web.panel.durations import boxes_of
from stoker.web.panel.frame import panel_of, panel_page
from stoker.web.panel.graph import graph_of
from stoker.web.panel.selecting import command_of
from stoker.web.panel.view import overview_of
from stoker.web.problems import Problem
from stoker.web.routing import Operation, Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stoker.store.reports.durations import StepDurations

GROUPS = 20  # that wait, on the page


async def _show(request: Request) -> Response:
    panel, name = panel_of(request), request.query_params.get("pipeline", "")
    status, failures = await panel.status.get(), await panel.failures.get()
    offered = (await panel.offered.get()).value.get(name)
    if offered is None or name not in status.value.pipelines:
        raise Problem(404, f"the store has no pipeline `{name[:100]}`")
    pipeline, rows = offered.pipeline, [row for row in failures.value if row.pipeline == name]
    overview = overview_of(status.value, rows, {name: pipeline.title})
    site, groups = site_of(request), None
    if status.value.pipelines[name].groups is not None:
        groups = await site.call(
            site.project.groups.page, pipeline=name, is_waiting=True, limit=GROUPS
        )
    took: Sequence[StepDurations] = ()
    with suppress(Unavailable):  # the rest is shown as it was read before
        took = await site.call(site.project.history.durations, name)
    return await panel_page(
        request,
        "pipeline.html",
        durations=boxes_of(took, pipeline),
        active="overview",
        line=next(one for one in overview.pipelines if one.name == name),
        graph=graph_of(
            [(step.name, step.after) for step in pipeline.steps], status.value.pipelines[name].steps
        ),
        pipeline=pipeline,
        number=offered.number,
        groups=[] if groups is None else groups.rows,
        has_more_groups=groups is not None and groups.next is not None,
        failures=overview.failures,
        n_causes=overview.n_causes,
        may_submit=caller_of(request).may(Need.SUBMITTER),
        command=command_of("status", Selection(pipeline=name)),
    )


RESOURCES = [
    Resource(
        "/pipeline",
        {
            "GET": Operation(
                handle=_show,
                need=Need.VIEWER,
                summary="One pipeline and its steps",
                query={"pipeline": {"type": "string", "minLength": 1, "maxLength": 200}},
            )
        },
        name="pipeline",
    )
]
