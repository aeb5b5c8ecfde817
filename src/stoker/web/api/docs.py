"""The page that shows the API and lets people try it; all of it comes from this host."""

import functools
import hashlib
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.needs import Need
from stoker.web.problems import Problem
from stoker.web.rendering import page
from stoker.web.routing import Operation, Resource

# Swagger UI draws its icons from its own style sheet, and sets styles of elements by script.
_POLICY = (
    "default-src 'self'; script-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FILES = {
    "bundle": ("vendor/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    "style": ("vendor/swagger-ui.css", "text/css; charset=utf-8"),
    "start": ("api-docs.js", "text/javascript; charset=utf-8"),
}


async def _show(request: Request) -> Response:
    bundle, style, start = (_named(path) for path, _ in _FILES.values())
    made = page(request, "api_docs.html", bundle=bundle, style=style, start=start)
    made.headers["content-security-policy"] = _POLICY
    return made


async def _file(request: Request) -> Response:
    for path, media in _FILES.values():
        if _named(path) == request.path_params["file"]:
            headers = {"Cache-Control": "public, max-age=31536000, immutable"}
            return Response(_content(path), headers=headers, media_type=media)
    raise Problem(404, "there is nothing at this address")


@functools.cache
def _content(path: str) -> bytes:
    return resources.files("stoker.web").joinpath("static", path).read_bytes()


@functools.cache
def _named(path: str) -> str:
    """Return the name of a file with a hash in it: another content has another name."""
    stem, _, suffix = path.rpartition("/")[2].rpartition(".")
    return f"{stem}.{hashlib.sha256(_content(path)).hexdigest()[:8]}.{suffix}"


RESOURCES = [
    Resource(
        "/api/docs",
        {"GET": Operation(handle=_show, need=Need.NOTHING, summary="A page that shows the API")},
        name="api-docs",
    ),
    Resource(
        "/api/docs/{file}",
        {"GET": Operation(handle=_file, need=Need.NOTHING, summary="A file of that page")},
        name="api-docs-file",
    ),
]
