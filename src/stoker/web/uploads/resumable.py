"""Uploads that go on where they broke off, as tus 1.0 has them: core, creation, expiration, termination.

A client makes an upload of a stated length (`POST /uploads` with `Tus-Resumable`), sends its bytes from
an offset on (`PATCH`), and asks after a break how far it is (`HEAD`). Whole, it is an upload as any
other.
"""

import base64
import binascii
import functools
from email.utils import format_datetime

import anyio
from starlette.requests import Request
from starlette.responses import Response

from stoker.errors import StokerError
from stoker.project.jobs.resumable import Growing, Partial, Resumable
from stoker.project.jobs.uploads import Upload
from stoker.web.answers import site_of
from stoker.web.caller import caller_of
from stoker.web.problems import Problem, problem_of
from stoker.web.routing import Handler
from stoker.web.site import Site
from stoker.web.uploads.limits import DOORKEEPER, limit_of_uploads
from stoker.web.uploads.multipart import plain_media
from stoker.web.uploads.pieces import Pieces
from stoker.web.uploads.receiving import stated_length, steady

VERSION = "1.0.0"
MEDIA = "application/offset+octet-stream"
EXTENSIONS = "creation,creation-with-upload,expiration,termination"
OFFERED = {"Tus-Resumable": VERSION, "Tus-Version": VERSION, "Tus-Extension": EXTENSIONS}
SENT = "tus-resumable"  # the header that marks such a request
LONGEST = 1 << 50  # bytes
_METADATA = 4096  # characters
_under_way: dict[str, "_Turn"] = {}


class _Turn:
    """One request that writes to an upload: ended by the next one, as its client may be long gone."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.over = anyio.Event()


def spoken(handle: Handler) -> Handler:
    """Return the handler with what tus wants of each answer, errors too."""

    @functools.wraps(handle)
    async def answer(request: Request) -> Response:
        wanted = request.headers.get(SENT)
        if wanted not in (None, VERSION):
            raise Problem(412, f"`Tus-Resumable` is `{VERSION}` here", headers=OFFERED)
        try:
            found = await handle(request)
        except (Problem, StokerError) as error:
            problem = problem_of(error)
            problem.headers = {**problem.headers, "Tus-Resumable": VERSION}
            raise problem from error
        found.headers["Tus-Resumable"] = VERSION
        return found

    return answer


async def create(request: Request) -> Response:
    """There is an empty upload of the stated length; or more of it, if the request has a body."""
    site = site_of(request)
    limit_bytes = await limit_of_uploads(request, request.query_params.get("pipeline"))
    size_bytes = _number(request, "Upload-Length")
    name, media = _described(request.headers.get("upload-metadata", ""))
    with DOORKEEPER.admit(caller_of(request)):
        partial = await site.call(
            lambda: Resumable(site.project).create(
                size_bytes=size_bytes, name=name, media=media, limit_bytes=limit_bytes
            )
        )
        if stated_length(request) and _is_piece(request):
            await _receive(site, request, partial.id, 0)
            partial = await site.call(Resumable(site.project).get, partial.id)
    headers = {"Location": site.links.to("uploads", partial.id), **state_of(partial)}
    return Response(status_code=201, headers=headers)


async def append(request: Request) -> Response:
    """The body is appended. What has come stays, whatever becomes of the request."""
    site, upload = site_of(request), request.path_params["upload"]
    if not _is_piece(request):
        headers = {"Accept-Patch": MEDIA}
        raise Problem(415, f"the body of `PATCH` is `{MEDIA}`", headers=headers)
    offset = _number(request, "Upload-Offset")
    with DOORKEEPER.admit(caller_of(request), is_new=False):
        await _receive(site, request, upload, offset)
    partial = await site.call(Resumable(site.project).get, upload)
    return Response(status_code=204, headers=state_of(partial))


async def _receive(site: Site, request: Request, upload: str, offset: int) -> Upload | None:
    """Append the body from the offset on; return the upload if it is whole with that."""
    await end_turn(upload)
    turn = _under_way[upload] = _Turn()
    try:
        growing = await site.call(Resumable(site.project).open, upload, offset=offset)
        try:
            with turn.scope:
                await _write(site, growing, request)
        finally:
            with anyio.CancelScope(shield=True):
                whole = await site.call(growing.close)
    finally:
        turn.over.set()
        if _under_way.get(upload) is turn:
            del _under_way[upload]
    if turn.scope.cancelled_caught:
        raise Problem(409, "another request goes on with this upload")
    return whole


async def _write(site: Site, growing: Growing, request: Request) -> None:
    """Write the body in pieces; of one that breaks off, what has come."""
    pieces = Pieces(site, growing.write)
    try:
        async for chunk in steady(request, kept="what has come is kept"):
            await pieces.add(chunk)
    finally:
        with anyio.CancelScope(shield=True):
            await pieces.end()


async def end_turn(upload: str) -> None:
    """The writer of the upload has ended, and what had come is kept."""
    turn = _under_way.get(upload)
    if turn is not None:
        turn.scope.cancel()
        await turn.over.wait()


def state_of(partial: Partial) -> dict[str, str]:
    """Return the headers that say how far an upload is."""
    found = {"Upload-Offset": str(partial.offset), "Upload-Length": str(partial.size_bytes)}
    expires = format_datetime(partial.kept_until, usegmt=True)
    return {**found, "Upload-Expires": expires, "Cache-Control": "no-store"}


def _is_piece(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == MEDIA


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if text.isascii() and text.isdecimal() and len(text) <= 16 and int(text) <= LONGEST:
        return int(text)
    raise Problem(400, f"`{name}` has to be a number of bytes; it is `{text[:40]}`")


def _described(metadata: str) -> tuple[str, str | None]:
    """Return name and media type, from pairs of a word and Base64."""
    if len(metadata) > _METADATA:
        raise Problem(400, f"`Upload-Metadata` has more than {_METADATA:,} characters")
    found: dict[str, str] = {}
    for pair in metadata.split(","):
        word, _, coded = pair.strip().partition(" ")
        try:
            text = base64.b64decode(coded, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            raise Problem(400, f"`Upload-Metadata`: `{word[:40]}` is not in Base64") from None
        found[word] = text
    name = found.get("filename") or found.get("name") or "file"
    media = plain_media(found.get("filetype") or found.get("type") or "")
    return name, media
