"""Styles and scripts of the pages: our own files, whose address changes with their content."""

import functools
import hashlib
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.needs import Need
from stoker.web.problems import Problem
from stoker.web.routing import Operation, Resource

_MEDIA = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_MEDIA["svg"] = "image/svg+xml"
_FOR_EVER = "public, max-age=31536000, immutable"


@functools.cache
def _all() -> dict[str, tuple[bytes, str]]:
    """Return the content of each file, and the mark of its content."""
    folder = files("stoker.web").joinpath("static")
    found = {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}
    return {name: (text, hashlib.sha256(text).hexdigest()[:12]) for name, text in found.items()}


def address_of(name: str) -> str:
    """Return the relative address of a file as it is now."""
    return f"static/{name}?v={_all()[name][1]}"


async def _get(request: Request) -> Response:
    name = request.path_params["name"]
    media = _MEDIA.get(name.rpartition(".")[2])
    if name not in _all() or media is None:
        raise Problem(404, "there is nothing at this address")
    content, mark = _all()[name]
    is_this = request.query_params.get("v") == mark
    headers = {"Cache-Control": _FOR_EVER if is_this else "no-cache", "ETag": f'"{mark}"'}
    return Response(content, headers=headers, media_type=media)


RESOURCES = [
    Resource(
        "/static/{name}",
        {
            "GET": Operation(
                handle=_get,
                need=Need.NOTHING,
                summary="A style or script of the pages",
                query={"v": {"type": "string", "description": "the mark of its content"}},
            )
        },
        name="static",
    )
]
