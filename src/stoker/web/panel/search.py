"""The search box of all pages: an item by its key, a part of it or a glob, an attempt, a pipeline."""

import re
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stoker.errors import NotFound, UserError
from stoker.model.selection import Selection
from stoker.web.answers import site_of
from stoker.web.needs import Need
from stoker.web.panel.frame import panel_page
from stoker.web.panel.selecting import command_of, query_of
from stoker.web.panel.templates import link
from stoker.web.routing import Operation, Resource

if TYPE_CHECKING:
    from stoker.project import Project
    from stoker.store.reports.searching import Found
    from stoker.store.rows import AttemptRow

LONGEST = 1_000  # bytes of a key; characters here
_ATTEMPT = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,28}", re.ASCII)


async def _show(request: Request) -> Response:
    """What fits; the page of the item or attempt itself, where it is the only one that is meant."""
    site, text = site_of(request), request.query_params.get("q", "").strip()[:LONGEST]
    found, attempt = await site.call(_find, site.project, text)
    items = [*found.exact, *found.begins, *found.holds]
    only = found.exact[0] if len(found.exact) == 1 else None
    if only is None and len(items) == 1 and not (found.pipelines or found.is_cut or attempt):
        only = items[0]
    if only is not None:
        path = link("item", key=only.item, pipeline=only.pipeline)
        return RedirectResponse(site.links.path + path, status_code=303)
    if attempt is not None and not items:
        path = link("log", attempt=attempt.id)
        return RedirectResponse(site.links.path + path, status_code=303)
    chosen = Selection(keys=(text if any(one in text for one in "*?[") else f"{_plain(text)}*",))
    return await panel_page(
        request,
        "search.html",
        text=text,
        groups=[
            ("With this key", found.exact),
            ("Beginning so", found.begins),
            ("With it somewhere in the key", found.holds),
        ],
        n=len(items),
        pipelines=found.pipelines,
        attempt=attempt,
        is_cut=found.is_cut,
        query=query_of(chosen),
        command=command_of("items", chosen),
    )


def _find(project: "Project", text: str) -> "tuple[Found, AttemptRow | None]":
    attempt = None
    if _ATTEMPT.fullmatch(text):
        try:
            attempt = project.attempt(text)
        except (NotFound, UserError):
            attempt = None  # it may be a key that looks so
    return project.search(text), attempt


def _plain(text: str) -> str:
    return "".join(f"[{one}]" if one in "*?[" else one for one in text)


RESOURCES = [
    Resource(
        "/search",
        {
            "GET": Operation(
                handle=_show,
                need=Need.VIEWER,
                summary="Items, attempts and pipelines that fit a text",
                query={"q": {"type": "string", "maxLength": LONGEST}},
            )
        },
        name="search",
    )
]
