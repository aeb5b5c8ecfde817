"""Answers: JSON, or the page of the same content, and what belongs to both."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.links import HTML, JSON, Links
from stoker.web.negotiation import accepts, form_of, preferred
from stoker.web.pages import page_of
from stoker.web.problems import PLAIN, PROBLEM, Problem
from stoker.web.site import Site

VARY = "Accept, Prefer, Authorization, Cookie"
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def site_of(request: Request) -> Site:
    """Return the site that the application serves."""
    site: Site = request.app.state.site
    return site


def json_answer(
    content: Any,
    *,
    status: int = 200,
    media: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the content as JSON. It differs by what the client accepts and who it is."""
    return Response(as_bytes(content), status, {"Vary": VARY, **(headers or {})}, media_type=media)


def as_bytes(content: Any) -> bytes:
    """Return the content as the JSON that is sent."""
    return _ENCODER.encode(content).encode("ascii")


def document_answer(
    request: Request,
    content: dict[str, Any],
    *,
    title: str,
    address: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the document in the form that the client prefers, with links to itself and the other.

    `address` is where it is, by default the one of the request, without a query.
    """
    form = form_of(request)
    links = site_of(request).links
    here = address or links.base.rstrip("/") + request.scope["path"]
    whole = with_alternates(links, content, title=title, address=here, form=form)
    if form == HTML:
        page = page_of(request, whole, title=title)
        page.headers.update({"Vary": VARY, **(headers or {})})
        return page
    return body_answer(request, as_bytes(whole), headers=headers)


def with_alternates(
    links: Links, content: dict[str, Any], *, title: str, address: str, form: str = JSON
) -> dict[str, Any]:
    """Return the document at that address with links to itself and to its other form."""
    return {**content, "links": [*links.alternates(address, title, shown=form), *content["links"]]}


def body_answer(
    request: Request, body: bytes, *, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the JSON with a tag of its content; 304 where the client has the same already."""
    tag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    known = request.headers.get("if-none-match", "")
    if tag in (one.strip() for one in known.split(",")) or known.strip() == "*":
        vary = (headers or {}).get("Vary", VARY)
        return Response(status_code=304, headers={"ETag": tag, "Vary": vary})
    given = {"Vary": VARY, **(headers or {}), "ETag": tag}
    return Response(body, headers=given, media_type=JSON)


def problem_answer(request: Request, problem: Problem) -> Response:
    """Return the problem as the document that the client accepts."""
    if preferred(request.headers.getlist("accept"), (PROBLEM, PLAIN, HTML)) == HTML:
        page = page_of(
            request, problem.body(), title=problem.body()["title"], status=problem.status
        )
        page.headers.update({"Vary": VARY, **problem.headers})
        return page
    media = PLAIN if accepts(request, PLAIN) and not accepts(request, PROBLEM) else PROBLEM
    return json_answer(problem.body(), status=problem.status, media=media, headers=problem.headers)


__all__ = [
    "HTML",
    "JSON",
    "as_bytes",
    "body_answer",
    "document_answer",
    "form_of",
    "json_answer",
    "problem_answer",
    "site_of",
    "with_alternates",
]
