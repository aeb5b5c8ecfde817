"""The application: all routes of the service, and what holds for each request.

Each part of the service exports a table of resources; here they come together.
"""

import logging
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from stoker.errors import StokerError
from stoker.web import access, health, metrics, ogc
from stoker.web.access.identity import Headers, Identify
from stoker.web.access_log import AccessLog
from stoker.web.answers import problem_answer
from stoker.web.api import docs
from stoker.web.api.app import PREFIX, make_api
from stoker.web.cors import Cors
from stoker.web.ogc.statuses import Statuses
from stoker.web.panel import (
    account,
    failures,
    items,
    journal,
    log,
    machines,
    overview,
    people,
    pipeline,
    pool,
    repair,
    search,
    settings,
    stream,
    timeline,
)
from stoker.web.panel.frame import Panel
from stoker.web.people import catalogue, checking, form, job, many, static_files
from stoker.web.people.joining import with_pages
from stoker.web.people.problem import problem_page, wants_page
from stoker.web.problems import Problem, problem_of
from stoker.web.routing import Resource
from stoker.web.site import Site
from stoker.web.uploads import doors

PAGES = {**catalogue.PAGES, **form.PAGES, **job.PAGES, **overview.PAGES}
PANEL = [
    resource
    for part in (
        *(overview, pipeline, failures, items, log, machines, journal, people, pool, repair),
        account,
        search,
        settings,
        stream,
        timeline,
    )
    for resource in part.RESOURCES
]
_log = logging.getLogger(__name__)


def resources() -> list[Resource]:
    """Return the table of all resources."""
    pages = with_pages([*ogc.RESOURCES, *job.RESOURCES, *form.RESOURCES], PAGES)
    return [
        *health.RESOURCES,
        *metrics.RESOURCES,
        *access.RESOURCES,
        *docs.RESOURCES,
        *pages,
        *PANEL,
        *checking.RESOURCES,
        *many.RESOURCES,
        *doors.RESOURCES,
        *static_files.RESOURCES,
    ]


def make_app(site: Site) -> Starlette:
    """Return the application that serves the site."""
    app = Starlette(
        routes=[
            Mount(PREFIX, make_api(site), name="api"),
            *(resource.route() for resource in resources()),
        ],
        middleware=[
            Middleware(Headers),
            Middleware(Cors, site=site),
            Middleware(_Paths, site=site),
            Middleware(AccessLog, site=site),
            Middleware(Identify, site=site, answer=_shown),
        ],
        exception_handlers={
            Problem: _answer_error,
            StokerError: _answer_error,
            HTTPException: _answer_http,
            Exception: _answer_error,
        },
    )
    app.router.redirect_slashes = False
    app.state.site = site
    app.state.metrics = metrics.Metrics(site)
    app.state.panel = Panel(site)
    app.state.statuses = Statuses()
    return app


class _Paths:
    """Takes off what a proxy left before our paths, and a slash after them.

    A proxy may pass on the whole path or the rest of it: both work, and no answer is a redirect.
    """

    def __init__(self, app: ASGIApp, *, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            prefix = urlsplit(self._site.links.base).path.rstrip("/")
            path: str = scope["path"]
            if prefix and (path == prefix or path.startswith(f"{prefix}/")):
                path = path[len(prefix) :]
            scope = {**scope, "path": path.rstrip("/") or "/", "root_path": ""}
        await self._app(scope, receive, send)


async def _answer_error(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem.status == 500 and not isinstance(error, Problem):
        _log.error("a request failed", extra={"event": "request_failed"}, exc_info=error)
    return _shown(request, problem)


async def _answer_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = "there is nothing at this address" if status == 404 else "this request is not possible"
    return _shown(request, Problem(status, text))


def _shown(request: Request, problem: Problem) -> Response:
    """Return the problem as a page for people, and as a document for programs."""
    if wants_page(request):
        return problem_page(request, problem)
    return problem_answer(request, problem)
