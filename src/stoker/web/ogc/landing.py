"""The landing page, and the classes of the standard that the service conforms to."""

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.answers import HTML, JSON, document_answer, site_of
from stoker.web.links import OGC, OPENAPI_30, link
from stoker.web.needs import Need
from stoker.web.ogc.queries import FORM
from stoker.web.routing import Operation, Resource

CONFORMANCE = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf"
CLASSES = (
    *("core", "ogc-process-description", "json", "html", "oas30", "job-list", "callback"),
    "dismiss",
)


async def _landing(request: Request) -> Response:
    site = site_of(request)
    to, name = site.links.to, site.settings.name
    content = {
        "title": name,
        "description": f"The pipelines of {name} as processes.",
        "links": [
            link("service-desc", to("api"), type_=OPENAPI_30, title="The definition of this API"),
            link("service-doc", to("api", f="html"), type_=HTML, title="This API for people"),
            link(f"{OGC}/conformance", to("conformance"), type_=JSON, title="Conformance"),
            link("conformance", to("conformance"), type_=JSON, title="Conformance"),
            link(f"{OGC}/processes", to("processes"), type_=JSON, title="Processes"),
            link("processes", to("processes"), type_=JSON, title="Processes"),
            link(f"{OGC}/job-list", to("jobs"), type_=JSON, title="Jobs"),
        ],
    }
    return document_answer(request, content, title=name, address=to())


async def _conformance(request: Request) -> Response:
    content = {"conformsTo": [f"{CONFORMANCE}/{name}" for name in CLASSES], "links": []}
    return document_answer(request, content, title="Conformance")


RESOURCES = [
    Resource(
        "/",
        {"GET": Operation(handle=_landing, need=Need.NOTHING, summary="Landing page", query=FORM)},
        name="landing",
    ),
    Resource(
        "/conformance",
        {
            "GET": Operation(
                handle=_conformance,
                need=Need.NOTHING,
                summary="The classes of the standard that the service conforms to",
                query=FORM,
            )
        },
        name="conformance",
    ),
]
