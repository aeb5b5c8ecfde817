"""The journal: what happened, newest first, page by page."""

from starlette.requests import Request
from starlette.responses import Response

from stoker.store.reports.journal_list import Wanted
from stoker.web.answers import site_of
from stoker.web.caller import caller_of
from stoker.web.needs import Need
from stoker.web.panel.frame import panel_page
from stoker.web.problems import Problem
from stoker.web.routing import Operation, Resource

_WHO = {"type": "string", "enum": ["people", "all"]}
_BEFORE = {"type": "integer", "minimum": 0}
_FILTERS = ("event", "pipeline", "step", "key", "by")
_TEXT = {"type": "string", "maxLength": 1_000}
_LONGEST = 18  # digits that the id of a row may have


async def _show(request: Request) -> Response:
    site, query = site_of(request), request.query_params
    who, before = query.get("who", "people"), query.get("before")
    if who not in ("people", "all"):
        raise Problem(400, "`who` is `people` or `all`")
    chosen = {name: query.get(name, "").strip() or None for name in _FILTERS}
    chosen["event"] = chosen["event"] and chosen["event"].replace(" ", "_")  # as the page writes it
    page = await site.call(
        site.project.record.page,
        wanted=Wanted(**chosen),
        before=_number(before),
        only_people=who == "people",
        with_access=caller_of(request).may(Need.ADMIN),
    )
    return await panel_page(
        request,
        "journal.html",
        active="journal",
        rows=page.rows,
        next=page.before,
        who=who,
        chosen=chosen,
        is_filtered=any(chosen.values()),
        pipelines=await site.call(lambda: sorted(site.offered())),
        is_first=before is None,
    )


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST):
        raise Problem(400, "`before` is not the number of a row")
    return int(text)


RESOURCES = [
    Resource(
        "/journal",
        {
            "GET": Operation(
                handle=_show,
                need=Need.VIEWER,
                summary="What happened, newest first",
                query={"who": _WHO, "before": _BEFORE, **dict.fromkeys(_FILTERS, _TEXT)},
            )
        },
        name="journal",
    )
]
