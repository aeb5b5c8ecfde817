"""The API as an application of its own below `/api/v1`."""

import functools
import re
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stoker import __version__
from stoker.errors import StokerError
from stoker.web.answers import problem_answer
from stoker.web.api import changing, fleet, groups, logs, people, reading, results, submitting
from stoker.web.api.document import document, document_30
from stoker.web.bodies import JSON_LIMIT_BYTES
from stoker.web.needs import Need
from stoker.web.problems import InputError, Problem, invalid, problem_of
from stoker.web.site import Site

PREFIX = "/api/v1"
PARTS = (reading, logs, results, groups, changing, submitting, fleet, people)
DOCUMENTS = ("/openapi.json", "/openapi-3.0.json")
_SHOWN = 200


def make_api(site: Site) -> FastAPI:
    """Return the application; it answers below `PREFIX`."""
    api = FastAPI(
        title="Stoker",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            Problem: _answer_error,
            StokerError: _answer_error,
            RequestValidationError: _answer_invalid,
            HTTPException: _answer_http,
            OSError: _answer_error,
        },
    )
    api.state.site = site
    for part in PARTS:
        api.include_router(part.ROUTES)
    for path, endpoint in zip(DOCUMENTS, (_document, _document_30), strict=True):
        api.add_api_route(path, endpoint, methods=["GET"], include_in_schema=False)
    api.add_middleware(_Methods)
    return api


class Operation(NamedTuple):
    """One method of one route, and the access that it needs."""

    path: str
    method: str
    need: Need


def operations() -> list[Operation]:
    """Return the table of routes, which tests walk; the documents of the API are everybody's."""
    return [
        Operation(route.path, method, Need((route.openapi_extra or {})["x-stoker-role"]))
        for part in PARTS
        for route in part.ROUTES.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
    ]


async def _document(request: Request) -> Response:
    made = document(request.app, request.app.state.site.links.to("api", "v1"))
    return _json(made, "application/vnd.oai.openapi+json;version=3.1")


async def _document_30(request: Request) -> Response:
    made = document_30(request.app, request.app.state.site.links.to("api", "v1"))
    return _json(made, "application/vnd.oai.openapi+json;version=3.0")


def _json(value: Any, media: str) -> Response:
    from stoker.model.encoding import as_text

    headers = {"Cache-Control": "no-cache"}
    return Response(as_text(value), headers=headers, media_type=media)


async def _answer_error(request: Request, error: Exception) -> Response:
    return problem_answer(request, problem_of(error))


async def _answer_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    texts = {
        400: "the body is not JSON",
        404: "there is nothing at this address",
        405: "this method is not possible here",
    }
    detail = error.detail if isinstance(error, HTTPException) and status in (408, 413, 415) else ""
    problem = Problem(status, detail or texts.get(status, "this is not possible"), headers=headers)
    return problem_answer(request, problem)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    """All mistakes of a request at once, in the words that every other door uses."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    for one in found:
        if one["type"] == "json_invalid":
            text = f"the body is not JSON: {one['ctx']['error'][:_SHOWN]}"
            return problem_answer(request, Problem(400, text))
    return problem_answer(request, invalid([_input_error(one) for one in found]))


def _input_error(found: dict[str, Any]) -> InputError:
    name = ".".join(str(part) for part in found["loc"][1:])[:_SHOWN] or "body"
    rule = "unknown" if found["type"] == "extra_forbidden" else found["type"]
    value = found.get("input")
    is_plain = isinstance(value, str | int | float | bool)
    detail = f"`{name}`: {found['msg'][:1].lower()}{found['msg'][1:_SHOWN]}"
    return InputError(
        input=name,
        rule=rule,
        detail=f"there is no `{name}` here" if rule == "unknown" else detail,
        value=str(value)[:_SHOWN] if is_plain else None,
    )


class _Methods:
    """HEAD wherever GET, OPTIONS, and bodies that are JSON and not too large."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer OPTIONS; pass all else on, HEAD as GET, and bodies up to their limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        allowed = _allowed(scope)
        if allowed and method not in allowed:
            headers = {"Allow": ", ".join(allowed)}
            problem = Problem(405, f"`{method[:20]}` is not possible here", headers=headers)
            await problem_answer(Request(scope), problem)(scope, receive, send)
        elif allowed and method == "OPTIONS":
            headers = {"Allow": ", ".join(allowed)}
            await Response(status_code=204, headers=headers)(scope, receive, send)
        elif method == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, functools.partial(_bare, send))
        elif method in ("POST", "PUT", "PATCH") and not _is_json(scope):
            headers = {"Accept-Post": "application/json"}
            problem = Problem(415, "send `application/json`", headers=headers)
            await problem_answer(Request(scope), problem)(scope, receive, send)
        else:
            await self._app(scope, _Limited(receive, JSON_LIMIT_BYTES), send)


def _is_json(scope: Scope) -> bool:
    kind = Headers(scope=scope).get("content-type", "")
    return kind.partition(";")[0].strip().lower() == "application/json"


def _allowed(scope: Scope) -> list[str]:
    """Return the methods that are possible at this address; none where there is nothing."""
    path = get_route_path(scope)
    found = {method for pattern, method in _table() if pattern.fullmatch(path)}
    return sorted({*found, "OPTIONS", *(["HEAD"] if "GET" in found else [])}) if found else []


@functools.cache
def _table() -> list[tuple[re.Pattern[str], str]]:
    own = [(re.compile(re.escape(path)), "GET") for path in DOCUMENTS]
    return own + [(compile_path(one.path)[0], one.method) for one in operations()]


class _Limited:
    """Receives a body up to a limit; then the request is answered with 413."""

    def __init__(self, receive: Receive, limit_bytes: int) -> None:
        self._receive = receive
        self._left = limit_bytes

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, "the body is too large", {"Connection": "close"})
        return message


async def _bare(send: Send, message: Message) -> None:
    """Send an answer on without its body."""
    if message["type"] == "http.response.body":
        message = {**message, "body": b""}
    await send(message)
