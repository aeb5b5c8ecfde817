"""The catalogue: the pipelines that the caller may see, each with a link to its form."""

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.answers import site_of
from stoker.web.caller import caller_of
from stoker.web.needs import Need
from stoker.web.ogc.queries import limit_of
from stoker.web.ogc.seen import may_submit, visible
from stoker.web.rendering import page
from stoker.web.routing import Operation


async def show(request: Request) -> Response:
    """The catalogue, as a page."""
    caller, foresight = caller_of(request), site_of(request).foresight
    query = request.query_params
    found = [one for name, one in (await visible(request)).items() if name > query.get("after", "")]
    limit = limit_of(request, otherwise=1000)
    return page(
        request,
        "catalogue.html",
        entries=[
            (one.pipeline, may_submit(caller, one), await foresight.usual(one.pipeline.name))
            for one in found[:limit]
        ],
        after=found[limit - 1].pipeline.name if len(found) > limit else None,
        limit=limit,
    )


_PAGE = {"GET": Operation(handle=show, need=Need.OWN, summary="The catalogue, as a page")}
PAGES = {"/": _PAGE, "/processes": _PAGE}
