"""What attempts write: as the command prints it, as bytes of a range, and as a stream of events."""

import asyncio
import codecs
import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import Path, Request, Response
from fastapi import Query as Asked
from pydantic import Field
from starlette.responses import StreamingResponse

from stoker.errors import StokerError
from stoker.project.answers import LogAnswer
from stoker.project.log_reading import LogPiece, log_answer, read_log
from stoker.web.answers import site_of
from stoker.web.api.answers import look
from stoker.web.api.following import Followed, follow
from stoker.web.api.queries import Query, Text
from stoker.web.api.reading import NOT_MODIFIED
from stoker.web.api.routes import Routes, error_answers
from stoker.web.files import GUARDED
from stoker.web.needs import Need
from stoker.web.problems import Problem, problem_of
from stoker.web.site import Site

ROUTES = Routes(tags=["Look"])
MOST_BYTES = 16 << 20  # of one answer
LOOK_S = 0.25  # between looks at a stream that is silent; all who follow it share them
QUIET_S = 15.0  # after which a comment keeps a silent connection open

Stream = Annotated[Literal["stdout", "stderr"], Path(description="which stream")]
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class AttemptQuery(Query):
    """One attempt."""

    attempt: Text = Field(description="its id, or the beginning of it")


class FollowQuery(AttemptQuery):
    """One attempt, and where to begin."""

    start: Annotated[int, Field(ge=0, le=1 << 60)] = Field(
        default=0, description="the first byte that is sent"
    )


_BYTES: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}


@ROUTES.get_for(Need.VIEWER, "/logs", LogAnswer, responses=NOT_MODIFIED)
async def logs(request: Request, asked: Annotated[AttemptQuery, Asked()]) -> Response:
    """Both streams of an attempt as text. Long ones are better read by ranges."""
    project = site_of(request).project

    def whole() -> LogAnswer:
        row = project.attempt(asked.attempt)
        for stream in ("stdout", "stderr"):
            if (size := project.streams(row.id)[stream].size_bytes) > MOST_BYTES:
                raise Problem(
                    413, f"{stream} has {size:,} bytes; ask for ranges of `logs/{stream}`"
                )
        return log_answer(project, row)

    return await look(request, whole)


@ROUTES.get_for(
    Need.VIEWER,
    "/logs/{stream}",
    None,
    responses={
        200: {"description": "The whole stream, or its first part", "content": _BYTES},
        206: {"description": "The range that was asked for", "content": _BYTES},
        **error_answers(416),
    },
)
async def log_range(
    request: Request, stream: Stream, asked: Annotated[AttemptQuery, Asked()]
) -> Response:
    """The bytes of a stream; `Range: bytes=0-65535` asks for a part, `bytes=-65536` for the end."""
    site = site_of(request)
    start, most, is_range = _range_of(request)
    piece = await site.call(
        read_log, site.project, asked.attempt, stream, start=start, most=min(most, MOST_BYTES)
    )
    headers = {**GUARDED, "Accept-Ranges": "bytes", "Cache-Control": "no-store"}
    if is_range or len(piece.content) < piece.size_bytes:
        if not piece.content and piece.size_bytes and start >= 0:
            raise Problem(
                416,
                f"the stream has {piece.size_bytes:,} bytes so far",
                headers={"Content-Range": f"bytes */{piece.size_bytes}"},
            )
        last = piece.start + max(len(piece.content) - 1, 0)
        headers["Content-Range"] = f"bytes {piece.start}-{last}/{piece.size_bytes}"
        if piece.content:
            return _text(piece.content, 206, headers)
        del headers["Content-Range"]
    return _text(piece.content, 200, headers)


def _text(content: bytes, status: int, headers: dict[str, str]) -> Response:
    return Response(content, status, headers, media_type="text/plain; charset=utf-8")


def _range_of(request: Request) -> tuple[int, int, bool]:
    """Return the first byte (negative: counted from the end), how many, and whether it was asked."""
    found = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if found is None or not (found[1] or found[2]):
        return 0, MOST_BYTES, False  # a range that is none is ignored, as HTTP has it
    if not found[1]:
        return -int(found[2]) or 0, int(found[2]), int(found[2]) > 0
    last = int(found[2]) if found[2] else 1 << 60
    if last < int(found[1]):
        return 0, MOST_BYTES, False
    return int(found[1]), last - int(found[1]) + 1, True


@ROUTES.get_for(
    Need.VIEWER,
    "/logs/{stream}/follow",
    None,
    responses={
        200: {
            "description": "Events: `data` is JSON with `start` and `text`; `end` when it is over",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def follow_stream(
    request: Request, stream: Stream, asked: Annotated[FollowQuery, Asked()]
) -> Response:
    """What an attempt writes, as it comes, until it is over; goes on where `Last-Event-ID` ended."""
    site = site_of(request)
    last = request.headers.get("last-event-id", "")
    start = int(last) if re.fullmatch(r"\d{1,18}", last, re.ASCII) else asked.start
    async with follow(site, asked.attempt, stream) as tail:
        first = await tail.read(start)  # an attempt that is not there is an error, and no stream
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    events = _followed(site, asked.attempt, stream, first)
    return StreamingResponse(events, headers=headers, media_type="text/event-stream")


async def _followed(site: Site, attempt: str, stream: str, first: LogPiece) -> AsyncIterator[str]:
    async with follow(site, attempt, stream) as tail:
        async for event in _events(site, tail, first):
            yield event


async def _events(site: Site, tail: Followed, piece: LogPiece) -> AsyncIterator[str]:
    """Yield events until the attempt is over or the service stops."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    at, quiet_s = piece.start, 0.0
    yield ": following\n\n"
    try:
        while not site.stopping.is_set():
            if piece.content:
                data = json.dumps({"start": at, "text": decoder.decode(piece.content)})
                at += len(piece.content)
                quiet_s = 0.0
                yield f"id: {at}\ndata: {data}\n\n"
            elif piece.is_over:
                yield f"event: end\nid: {at}\ndata: {{}}\n\n"
                return
            elif await _stops_within(site, LOOK_S):
                return
            else:
                quiet_s += LOOK_S
                if quiet_s >= QUIET_S:
                    quiet_s = 0.0
                    yield ": still there\n\n"
            piece = await tail.read(at)
    except (StokerError, OSError) as error:
        detail = json.dumps({"detail": problem_of(error).detail})
        yield f"event: problem\ndata: {detail}\n\n"


async def _stops_within(site: Site, limit_s: float) -> bool:
    """Wait; return at once, and true, when the service stops."""
    try:
        await asyncio.wait_for(site.stopping.wait(), limit_s)
    except TimeoutError:
        return False
    return True
