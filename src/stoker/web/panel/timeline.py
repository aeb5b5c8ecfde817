"""The timeline: what every host or step did, in any window of the whole history, drawn on the server."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from stoker.store.times import moment
from stoker.web.answers import site_of
from stoker.web.needs import Need
from stoker.web.panel.drawing import Drawing
from stoker.web.panel.frame import panel_page
from stoker.web.problems import Problem
from stoker.web.routing import Operation, Resource

if TYPE_CHECKING:
    from stoker.project.verbs.history import History
    from stoker.store.reports.idle import Gap
    from stoker.store.reports.timeline import Bar, Timeline

LISTED = 200  # attempts in the list below the drawing
_SECOND_US = 1_000_000
_LEAST_US, _MOST_US = _SECOND_US, 50 * 366 * 86_400 * _SECOND_US
SPANS: Mapping[str, int] = {
    "1h": 3_600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000, "1y": 31_536_000,
}  # fmt: skip
_NUMBERED = re.compile(r"(\d{1,6})([smhdy])", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "y": 31_536_000}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
_BY, _COLOUR = {"type": "string", "enum": ["hosts", "steps"]}, {"type": "string", "enum": ["state", "step"]}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What an address asks for. `last` is a span that ends now; otherwise the window is fixed."""

    begin_us: int
    end_us: int
    last: str | None
    by: str
    colour: str

    def query(self, **other: object) -> dict[str, object]:
        """Return the parts of an address with these instead; a window replaces `last`."""
        own: dict[str, object] = {"last": self.last}
        if self.last is None:
            own = {"from": iso(self.begin_us), "to": iso(self.end_us)}
        if "from" in other or "last" in other:
            own = {}
        more = {"by": self.by if self.by != "hosts" else None}
        more["colour"] = self.colour if self.colour != "state" else None
        return {**own, **more, **other}

    def window(self, begin_us: int, end_us: int) -> dict[str, object]:
        """Return the parts of an address for another window."""
        return self.query(**{"from": iso(begin_us), "to": iso(end_us)})


async def _show(request: Request) -> Response:
    site = site_of(request)
    history: History = site.project.history
    first_us, now_us = await site.call(history.extent)
    view = _view(request, first_us, now_us)
    after = request.query_params.get("after")
    seen, gaps = await site.call(_read, history, view, after)
    drawing = Drawing(seen, gaps, by_step_colour=view.colour == "step")
    span_us = view.end_us - view.begin_us
    bars = sorted((bar for row in seen.rows for bar in row.bars), key=lambda bar: bar.begin_us)
    return await panel_page(
        request,
        "timeline.html",
        active="timeline",
        view=view,
        seen=seen,
        drawing=drawing,
        begin=moment(view.begin_us),
        end=moment(view.end_us),
        first=moment(first_us),
        after=after,
        is_live=view.last is not None,
        spans=list(SPANS),
        earlier=view.window(view.begin_us - span_us // 2, view.end_us - span_us // 2),
        later=view.window(view.begin_us + span_us // 2, view.end_us + span_us // 2),
        wider=view.window(view.begin_us - span_us // 2, view.end_us + span_us // 2)
        if span_us * 2 <= _MOST_US
        else None,
        closer=view.window(view.begin_us + span_us // 4, view.end_us - span_us // 4)
        if span_us // 2 >= _LEAST_US
        else None,
        bars=[(bar, moment(bar.begin_us), _took_s(bar, seen)) for bar in bars[-LISTED:]],
        n_bars=len(bars),
    )


def _read(
    history: "History", view: View, after: str | None
) -> "tuple[Timeline, dict[str, list[Gap]]]":
    by_step = view.by == "steps"
    seen = history.timeline(view.begin_us, view.end_us, by_step=by_step, after=after)
    return seen, {} if by_step or seen.form != "attempts" else history.gaps(seen)


def _took_s(bar: "Bar", seen: "Timeline") -> float:
    end_us = seen.now_us if bar.end_us is None else bar.end_us
    return (end_us - bar.begin_us) / 1e6


def _view(request: Request, first_us: int | None, now_us: int) -> View:
    """Return the window that the address names; without one, the last day, or all if it is less."""
    query = request.query_params
    by, colour = query.get("by", "hosts"), query.get("colour", "state")
    if by not in _BY["enum"] or colour not in _COLOUR["enum"]:
        raise Problem(400, "`by` is `hosts` or `steps`, `colour` is `state` or `step`")
    named = "from" in query or "to" in query
    if named and "last" in query:
        raise Problem(400, "give `from` and `to`, or `last`")
    if named:
        begin_us = _moment(query.get("from", ""), "from")
        end_us = _moment(query["to"], "to") if "to" in query else now_us
        last = None
    else:
        last = query.get("last")
        begin_us, end_us = _latest(last, first_us, now_us)
        last = last or "all" if last or now_us - begin_us < SPANS["24h"] * _SECOND_US else "24h"
    if end_us - begin_us < _LEAST_US or end_us - begin_us > _MOST_US:
        raise Problem(
            400, "a window is at least a second and at most 50 years long, from `from` to `to`"
        )
    return View(begin_us=begin_us, end_us=end_us, last=last, by=by, colour=colour)


def _latest(last: str | None, first_us: int | None, now_us: int) -> tuple[int, int]:
    """Return the window of this length that ends now; `all` begins with the first attempt."""
    all_us = max(now_us - (now_us if first_us is None else first_us), 0)
    all_us = min(all_us + all_us // 50 + _SECOND_US, _MOST_US)
    if last == "all":
        return now_us - all_us, now_us
    if last is None:
        if first_us is None:
            return now_us - SPANS["24h"] * _SECOND_US, now_us
        return now_us - min(all_us, SPANS["24h"] * _SECOND_US), now_us
    found = _NUMBERED.fullmatch(last)
    if found is None:
        raise Problem(400, f"`last` is a time as in `24h` or `30d`, or `all`, not `{last[:20]}`")
    return now_us - int(found[1]) * _UNITS[found[2]] * _SECOND_US, now_us


def _moment(text: str, name: str) -> int:
    """Return a moment in microseconds; one without a zone is UTC."""
    try:
        at = datetime.fromisoformat(text.strip())
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        found = round(at.timestamp() * 1e6)
    except (ValueError, OverflowError):
        said = f"`{name}` is a time as in `2026-11-30T21:00:00Z`, not `{text[:40]}`"
        raise Problem(400, said) from None
    if not 0 <= found < 1 << 52:
        raise Problem(400, f"`{name}` is a time between 1970 and 2112")
    return found


def iso(at_us: int) -> str:
    """Return a moment as an address has it."""
    at = moment(max(at_us, 0))
    return f"{at:%Y-%m-%dT%H:%M:%S}" + (f".{at:%f}" if at_us % _SECOND_US else "") + "Z"


RESOURCES = [
    Resource(
        "/timeline",
        {
            "GET": Operation(
                handle=_show,
                need=Need.VIEWER,
                summary="What hosts and steps did over time",
                query={
                    "from": _TEXT,
                    "to": _TEXT,
                    "last": _TEXT,
                    "by": _BY,
                    "colour": _COLOUR,
                    "after": _TEXT,
                },
            )
        },
        name="timeline",
    )
]
