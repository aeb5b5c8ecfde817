"""Answers of the API: the JSON of the command line, and 304 where nothing has changed."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request, Response

from stoker import __version__
from stoker.model.encoding import as_text
from stoker.store.reports.position import journal_position
from stoker.web.answers import site_of

_NO_HEADERS: Mapping[str, str] = {}


def answer(value: Any, *, status: int = 200, headers: Mapping[str, str] = _NO_HEADERS) -> Response:
    """Return the value as the command line prints it."""
    made = {"Cache-Control": "no-cache", "Vary": "Authorization, Cookie", **headers}
    return Response(as_text(value), status, made, media_type="application/json")


async def read(request: Request, verb: Callable[[], Any]) -> Response:
    """Return what the verb returns; 304, without calling it, if the journal is where it was.

    For what follows from the journal alone.
    """
    site = site_of(request)
    position = await site.call(lambda: journal_position(site.project.store))
    tag = f'W/"{__version__}.{position}"'
    if _has(request, tag):
        return not_modified(tag)
    return answer(await site.call(verb), headers={"ETag": tag})


async def look(request: Request, verb: Callable[[], Any]) -> Response:
    """Return what the verb returns; 304 if it is the same as before. For what changes by itself."""
    text = as_text(await site_of(request).call(verb))
    tag = f'W/"{hashlib.blake2b(text.encode("ascii"), digest_size=12).hexdigest()}"'
    if _has(request, tag):
        return not_modified(tag)
    headers = {"Cache-Control": "no-cache", "Vary": "Authorization, Cookie", "ETag": tag}
    return Response(text, 200, headers, media_type="application/json")


def not_modified(tag: str) -> Response:
    """Return the answer to a client that has the newest already."""
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Authorization, Cookie"}
    return Response(status_code=304, headers=headers)


def _has(request: Request, tag: str) -> bool:
    given = request.headers.get("if-none-match", "")
    tags = [one.strip() for one in given.split(",")]
    return "*" in tags or tag in tags or tag.removeprefix("W/") in tags
