"""The log of an attempt, piece by piece: of 2 GB, or of one line, no page is larger than another."""

import functools
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from anyio import CapacityLimiter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from stoker.errors import NotFound
from stoker.model.words import visible
from stoker.project.log_reading import STREAMS, OpenLog, open_log
from stoker.store.rows import AttemptRow
from stoker.web.answers import site_of
from stoker.web.files import GUARDED
from stoker.web.needs import Need
from stoker.web.panel.frame import panel_page
from stoker.web.panel.log_lines import Piece, Run, piece_of
from stoker.web.panel.log_search import LONGEST, Found, search
from stoker.web.problems import Problem
from stoker.web.routing import Operation, Resource
from stoker.web.site import Site

PIECE = 1 << 16  # bytes of one page
SENT = 1 << 18  # bytes that a download reads at once
COUNTED = 1 << 23  # bytes before a page in which its lines are counted
SEARCHES = 2  # at a time: each keeps a processor busy
_TEXT = {"type": "string", "minLength": 1, "maxLength": 100}
_PLACE = {"type": "integer", "minimum": 0}
_LONGEST = 15  # digits of a place in a log
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What a page shows of a log; `trouble` says why it shows nothing.

    `first_line` is the number of its first line; None: too much comes before to count it.
    """

    attempt: AttemptRow
    piece: Piece
    size_bytes: int = 0
    is_over: bool = True
    found: Found | None = None
    trouble: str | None = None
    first_line: int | None = None


_NOTHING = Piece(lines=(), start=0, end=0, rest_at=0)


async def _show(request: Request) -> Response:
    site, query = site_of(request), request.query_params
    name, stream = _which(request)
    places = {one: _place(query.get(one), one) for one in ("start", "end", "follow")}
    if sum(at is not None for at in places.values()) > 1:
        raise Problem(400, "a page of a log has a `start` or an `end`, not both")
    text, begin = _wanted(query.get("q", "")), _place(query.get("from"), "from") or 0
    read = functools.partial(_read, site, name, stream, **places)
    try:
        shown = await site.call(read)
        if text and shown.trouble is None:
            shown = await _searched(request, shown, stream, text, begin)
    except NotFound as error:
        raise Problem(404, str(error)) from None
    piece = shown.piece
    return await panel_page(
        request,
        "log.html",
        active="items",
        attempt=shown.attempt,
        stream=stream,
        streams=STREAMS,
        trouble=shown.trouble,
        piece=piece,
        size_bytes=shown.size_bytes,
        has_earlier=piece.start > 0,
        has_later=piece.end < shown.size_bytes and bool(piece.lines),
        is_over=shown.is_over,
        first_line=shown.first_line,
        follows=places["follow"] is not None
        or not (shown.is_over or text or any(at is not None for at in places.values())),
        q=text,
        found=shown.found,
        longest=LONGEST,
        marked=functools.partial(_marked, text),
        near=lambda at: max(at - PIECE // 8, 0),
    )


def _which(request: Request) -> tuple[str, str]:
    """Return the attempt and the stream that the address names."""
    query = request.query_params
    stream, name = query.get("stream", "stderr"), query.get("attempt", "")
    if stream not in STREAMS:
        raise Problem(400, "`stream` is `stdout` or `stderr`")
    if not name:
        raise Problem(400, "the address lacks `attempt`, whose log to show")
    return name, stream


def _read(
    site: Site, name: str, stream: str, *, start: int | None, end: int | None, follow: int | None
) -> _Shown:
    """Return the attempt and a piece of what it wrote, or why that cannot be read.

    From `start` on, up to `end`, or the last one. `follow` is where a reader has got to: what came since
    is shown, and the end of it where that is more than a page.
    """
    attempt = site.project.attempt(name)
    try:
        with open_log(site.project, attempt.id, stream) as log:
            size_bytes = log.size_bytes
            if follow is not None and size_bytes - follow <= PIECE:
                start = follow
            piece = _forward(log, start) if start is not None else _backward(log, end, size_bytes)
            return _Shown(
                attempt=attempt,
                piece=piece,
                size_bytes=size_bytes,
                is_over=log.is_over,
                first_line=_number(log, piece.start),
            )
    except NotFound as error:
        trouble = str(error)
    except OSError as error:
        trouble = f"the log cannot be read: {error.strerror}"
    return _Shown(attempt=attempt, piece=_NOTHING, trouble=trouble)


def _number(log: OpenLog, start: int) -> int | None:
    """Return the number of the line that begins at this byte, counting from 1."""
    if start > COUNTED:
        return None
    number, at = 1, 0
    while at < start:
        content = log.read(at, min(SENT, start - at))
        if not content:
            return None  # it has become shorter
        number += content.count(b"\n")
        at += len(content)
    return number


def _forward(log: OpenLog, start: int) -> Piece:
    content = log.read(start, PIECE)
    is_last = len(content) < PIECE
    return piece_of(content, start, from_end=False, is_first=True, is_last=is_last)


def _backward(log: OpenLog, end: int | None, size_bytes: int) -> Piece:
    end = size_bytes if end is None else min(end, size_bytes)
    start = max(end - PIECE, 0)
    content = log.read(start, end - start)
    return piece_of(content, start, from_end=True, is_first=start == 0, is_last=True)


# ---------------------------------------------------------------------------------- searching


async def _searched(request: Request, shown: _Shown, stream: str, text: str, begin: int) -> _Shown:
    """Return the same with the lines that have the text. Few search at a time; the others wait."""
    site, limiter = site_of(request), _limiter(request)

    def look() -> Found:
        with open_log(site.project, shown.attempt.id, stream) as log:
            return search(log.read, text, begin)

    async with limiter:
        found = await site.call(look)
    return _Shown(
        attempt=shown.attempt,
        piece=shown.piece,
        size_bytes=max(shown.size_bytes, found.end),
        is_over=shown.is_over,
        found=found,
        first_line=shown.first_line,
    )


def _limiter(request: Request) -> CapacityLimiter:
    """Return the limit of this process's searches."""
    state = request.app.state
    if not hasattr(state, "log_searches"):
        state.log_searches = CapacityLimiter(SEARCHES)
    limiter: CapacityLimiter = state.log_searches
    return limiter


def _wanted(text: str) -> str:
    if len(text) > LONGEST or _CONTROL.search(text):
        raise Problem(400, f"`q` is a text of one line, of at most {LONGEST} characters")
    return text


def _marked(text: str, runs: Iterable[Run]) -> Iterator[Run]:
    """Yield the runs, with the text that was searched for in runs of their own."""
    wanted = visible(text).lower()
    for run in runs:
        folded, done = run.text.lower(), 0
        if wanted and len(folded) == len(run.text):
            while (at := folded.find(wanted, done)) >= 0:
                yield from _part(run, done, at)
                done = at + len(wanted)
                yield Run(run.text[at:done], f"{run.look} hit".strip())
        yield from _part(run, done, len(run.text))


def _part(run: Run, begin: int, end: int) -> Sequence[Run]:
    return (Run(run.text[begin:end], run.look),) if end > begin else ()


# -------------------------------------------------------------------------------- downloading


async def _download(request: Request) -> Response:
    """The log as it is, as a file; what an attempt writes meanwhile is left out."""
    site = site_of(request)
    name, stream = _which(request)

    def look() -> tuple[str, int]:
        attempt = site.project.attempt(name)
        with open_log(site.project, attempt.id, stream) as log:
            return attempt.id, log.size_bytes

    try:
        attempt, size_bytes = await site.call(look)
    except NotFound as error:
        raise Problem(404, str(error)) from None
    headers = {
        **GUARDED,
        "Content-Length": str(size_bytes),
        "Content-Disposition": f'attachment; filename="{attempt}.{stream}.txt"',
        "Cache-Control": "no-store",
        "Content-Type": "text/plain; charset=utf-8",
    }
    if request.method == "HEAD":
        return Response(headers=headers)
    return StreamingResponse(_content(site, attempt, stream, size_bytes), headers=headers)


async def _content(site: Site, attempt: str, stream: str, size_bytes: int) -> AsyncIterator[bytes]:
    """Yield so many bytes; a log that has become shorter breaks the download off."""
    with ExitStack() as stack:
        opening = open_log(site.project, attempt, stream)
        log: OpenLog = await site.call(stack.enter_context, opening)
        at = 0
        while at < size_bytes:
            content = await site.call(log.read, at, min(SENT, size_bytes - at))
            if not content:
                return
            at += len(content)
            yield content


def _place(text: str | None, name: str) -> int | None:
    """Return a byte's number; None where none is given."""
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST):
        raise Problem(400, f"`{name}` is not a place in a log")
    return int(text)


_WHICH = {"attempt": _TEXT, "stream": _TEXT}
RESOURCES = [
    Resource(
        "/log",
        {
            "GET": Operation(
                handle=_show,
                need=Need.VIEWER,
                summary="What an attempt wrote",
                query={
                    **_WHICH,
                    "start": _PLACE,
                    "end": _PLACE,
                    "follow": _PLACE,
                    "q": {"type": "string", "maxLength": LONGEST},
                    "from": _PLACE,
                },
            )
        },
        name="log",
    ),
    Resource(
        "/log/file",
        {
            "GET": Operation(
                handle=_download,
                need=Need.VIEWER,
                summary="What an attempt wrote, as a file",
                query=_WHICH,
            )
        },
        name="log_file",
    ),
]
