"""The event stream of a browser: it says that something has happened, and pages look for themselves.

An event has the number of the journal as its id and nothing else, at most one a second. A browser that
comes back with the last id it had gets one at once if it has missed any. An event named `store` says that
the store has gone away, or is back.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from stoker.errors import StokerError
from stoker.web.answers import site_of
from stoker.web.needs import Need
from stoker.web.panel.frame import Panel, panel_of
from stoker.web.problems import Problem
from stoker.web.routing import Operation, Resource
from stoker.web.site import Site

QUIET_S = 15.0  # after which a comment keeps a silent connection open
PAUSE_S = 1.0  # between two events
LIFE_S = 600.0  # then the browser opens another, and is asked again who it is
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)


async def _follow(request: Request) -> Response:
    site = site_of(request)
    last = request.headers.get("last-event-id", "")
    with suppress(StokerError):  # the store may be away: the browser waits for it with us
        await site.pulse.current()
    seen = int(last) if _NUMBER.fullmatch(last) else site.pulse.number
    text = request.query_params.get("seconds", "")
    if text and not (_NUMBER.fullmatch(text) and int(text) <= LIFE_S):
        raise Problem(400, f"`seconds` is a whole number up to {LIFE_S:.0f}")
    life_s = float(text) if text else LIFE_S
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _events(site, panel_of(request), seen, life_s),
        headers=headers,
        media_type="text/event-stream",
    )


async def _events(site: Site, panel: Panel, seen: int, life_s: float) -> AsyncIterator[str]:
    """Yield an event for every change, until the service stops or the stream is old."""
    end_s = site.now_s() + life_s
    yield f"retry: 3000\nid: {seen}\n: following\n\n"
    while not site.stopping.is_set() and site.now_s() < end_s:
        with suppress(StokerError):  # a store that is away: nothing has happened, as far as we know
            was_away = site.pulse.is_away
            number = await site.pulse.changed(seen, within_s=min(QUIET_S, life_s))
            if number == seen and site.pulse.is_away != was_away:
                yield "event: store\ndata: {}\n\n"
                continue
            if number == seen:
                yield ": still there\n\n"
                continue
            await panel.renewed(number)
            seen = number
            yield f"id: {seen}\ndata: {{}}\n\n"
        with suppress(TimeoutError):
            await asyncio.wait_for(site.stopping.wait(), PAUSE_S)


RESOURCES = [
    Resource(
        "/stream",
        {
            "GET": Operation(
                handle=_follow,
                need=Need.VIEWER,
                summary="Whether anything happens",
                query={"seconds": {"type": "integer", "description": "after which it ends"}},
            )
        },
        name="stream",
    )
]
