"""Where one is signed in, for everybody who is; and the way to end that elsewhere."""

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.access.forms import read_form
from stoker.web.answers import site_of
from stoker.web.caller import caller_of
from stoker.web.needs import Need
from stoker.web.panel.frame import panel_page
from stoker.web.problems import Problem
from stoker.web.routing import Operation, Resource


async def _show(request: Request) -> Response:
    return await _page(request)


async def _page(request: Request, *, n_ended: int | None = None) -> Response:
    site, caller = site_of(request), caller_of(request)
    if caller.user is None:
        raise Problem(404, "nobody is signed in here")
    access = site.project.access
    return await panel_page(
        request,
        "account.html",
        sessions=await site.call(access.sessions_of, caller.user, caller.session),
        n_ended=n_ended,
    )


async def _act(request: Request) -> Response:
    """End the caller's other sessions, and show what is left."""
    await read_form(request)
    site, caller = site_of(request), caller_of(request)
    if caller.user is None or caller.session is None:
        raise Problem(403, "this is for somebody who has signed in on this page")
    ended = await site.call(site.project.access.sign_out_elsewhere, caller.user, caller.session)
    return await _page(request, n_ended=ended)


RESOURCES = [
    Resource(
        "/account",
        {
            "GET": Operation(handle=_show, need=Need.VIEWER, summary="Where one is signed in"),
            "POST": Operation(handle=_act, need=Need.VIEWER, summary="Sign out everywhere else"),
        },
        name="account",
    )
]
