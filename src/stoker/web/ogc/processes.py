"""The list of processes, and each with its inputs and outputs."""

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.answers import JSON, document_answer, site_of
from stoker.web.links import link
from stoker.web.needs import Need
from stoker.web.ogc.describing import description, summary
from stoker.web.ogc.execution import execute
from stoker.web.ogc.queries import FORM, LIMIT, limit_of
from stoker.web.ogc.seen import process_named, visible
from stoker.web.routing import Operation, Resource

_AFTER = {"after": {"type": "string", "description": "begin behind this process"}}


async def _list(request: Request) -> Response:
    site, after = site_of(request), request.query_params.get("after", "")
    links = site.links
    limit = limit_of(request, otherwise=1000)
    found = [one for name, one in (await visible(request)).items() if name > after]
    shown = found[:limit]
    made = []
    if len(found) > limit:
        query = {"limit": str(limit), "after": shown[-1].pipeline.name}
        made.append(link("next", links.to("processes", **query), type_=JSON, title="More"))
    listed = [summary(one, links, await site.foresight.usual(one.pipeline.name)) for one in shown]
    content = {"processes": listed, "links": made}
    asked = [(name, value) for name, value in request.query_params.items() if name != "f"]
    address = links.with_query("processes", asked)
    return document_answer(request, content, title="Processes", address=address)


async def _get(request: Request) -> Response:
    offered = await process_named(request)
    site = site_of(request)
    usual = await site.foresight.usual(offered.pipeline.name)
    content = description(offered, site.links, usual)
    return document_answer(request, content, title=content["title"])


RESOURCES = [
    Resource(
        "/processes",
        {
            "GET": Operation(
                handle=_list,
                need=Need.OWN,
                summary="All processes",
                query={**FORM, **LIMIT, **_AFTER},
            )
        },
        name="processes",
    ),
    Resource(
        "/processes/{process}",
        {"GET": Operation(handle=_get, need=Need.OWN, summary="A process", query=FORM)},
        name="process",
    ),
    Resource(
        "/processes/{process}/execution",
        {"POST": Operation(handle=execute, need=Need.OWN, summary="Execute a process")},
        name="execution",
    ),
]
