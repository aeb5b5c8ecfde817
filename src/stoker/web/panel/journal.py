"""The journal: what happened, newest first, page by page."""

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.answers import site_of
from stoker.web.caller import caller_of
from stoker.web.needs import Need
from stoker.web.panel.frame import panel_page
from stoker.web.problems import Problem
from stoker.web.routing import Operation, Resource

_WHO = {"type": "string", "enum": ["people", "all"]}
_BEFORE = {"type": "integer", "minimum": 0}
_LONGEST = 18  # digits that the id of a row may have


async def _show(request: Request) -> Response:
    site, query = site_of(request), request.query_params
    who, before = query.get("who", "people"), query.get("before")
    if who not in ("people", "all"):
        raise Problem(400, "`who` is `people` or `all`")
    page = await site.call(
        site.project.record.page,
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
                query={"who": _WHO, "before": _BEFORE},
            )
        },
        name="journal",
    )
]
