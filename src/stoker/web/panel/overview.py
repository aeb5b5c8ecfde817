"""The overview: how everything is going, as the first page of all who may look."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.caller import caller_of
from stoker.web.needs import Need
from stoker.web.panel.frame import panel_of, panel_page
from stoker.web.panel.view import overview_of
from stoker.web.people import catalogue
from stoker.web.routing import Operation, Resource

if TYPE_CHECKING:
    from stoker.store.reports.offered import Offered


async def show(request: Request) -> Response:
    """The overview."""
    panel = panel_of(request)
    status, failures = await panel.status.get(), await panel.failures.get()
    rates = await panel.rates.get()
    titles = titles_of((await panel.offered.get()).value)
    return await panel_page(
        request,
        "overview.html",
        active="overview",
        overview=overview_of(status.value, failures.value, titles, rates.value),
        failures_at=failures.at,
    )


async def show_first(request: Request) -> Response:
    """The overview for all who may look, and the catalogue of public pipelines for all others."""
    if caller_of(request).may(Need.VIEWER) and not request.query_params:
        return await show(request)
    return await catalogue.show(request)


def titles_of(offered: "Mapping[str, Offered]") -> Mapping[str, str]:
    """Return the titles of the pipelines that have one."""
    return {name: one.pipeline.title for name, one in offered.items() if one.pipeline.title}


_FIRST = Operation(handle=show_first, need=Need.OWN, summary="The first page")
PAGES: Mapping[str, Mapping[str, Any]] = {"/": {"GET": _FIRST}}
RESOURCES = [
    Resource(
        "/overview",
        {"GET": Operation(handle=show, need=Need.VIEWER, summary="How everything is going")},
        name="overview",
    )
]
