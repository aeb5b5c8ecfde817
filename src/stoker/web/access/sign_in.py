"""Signing in, by a password or a link, and signing out."""

import math
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stoker.web.access.cookies import Cookies
from stoker.web.access.forms import read_form
from stoker.web.access.throttle import Throttle
from stoker.web.answers import site_of
from stoker.web.caller import caller_of
from stoker.web.needs import Need
from stoker.web.problems import Problem
from stoker.web.rendering import page
from stoker.web.routing import Operation, Resource
from stoker.web.site import Site

_PASSWORDS = CapacityLimiter(2)  # that are compared at a time: each takes 64 MiB and 50 ms
_throttle = Throttle()


async def _show(request: Request) -> Response:
    """The page to sign in on. A link is not used up by looking: programs that scan mail do that."""
    site = site_of(request)
    secret = request.query_params.get("link")
    name = None if secret is None else await site.call(site.project.access.name_of_link, secret)
    after = _own_path(site, request.query_params.get("next", ""))
    is_bad = secret is not None and name is None
    error = "This link was used already, or is older than ten minutes." if is_bad else ""
    return page(
        request,
        "sign_in.html",
        link=secret if name is not None else None,
        name=name or "",
        after=after,
        error=error,
        is_first=not await site.call(site.project.access.has_users),
        status=404 if is_bad else 200,
    )


async def _sign_in(request: Request) -> Response:
    site = site_of(request)
    form = await read_form(request)
    after = _own_path(site, form.get("next", ""))
    if "link" in form:
        session = await site.call(site.project.access.use_link, form["link"])
        error = "This link was used already, or is older than ten minutes."
    else:
        session = await _by_password(request, form)
        error = "There is no user of this name with this password."
    if session is None:
        return page(
            request,
            "sign_in.html",
            link=None,
            name=form.get("name", "")[:200],
            after=after,
            error=error,
            is_first=not await site.call(site.project.access.has_users),
            status=403,
        )
    answer = RedirectResponse(after, status_code=303)
    cookies = Cookies(site)
    cookies.set(answer, cookies.session, session)
    cookies.delete(answer, cookies.form)
    return answer


async def _by_password(request: Request, form: dict[str, str]) -> str | None:
    """Return the secret of a new session; None if the name or the password is wrong."""
    name, password = form.get("name", ""), form.get("password", "")
    keys = (f"name:{name}", f"address:{caller_of(request).address}")
    wait_s = _throttle.wait_s(*keys)
    if wait_s > 0:
        headers = {"Retry-After": str(math.ceil(wait_s))}
        raise Problem(429, "too many wrong passwords; wait some minutes", headers=headers)
    _throttle.note_wrong(*keys)  # before it is compared, so that many at once count as many
    access = site_of(request).project.access
    session = await to_thread.run_sync(access.sign_in, name, password, limiter=_PASSWORDS)
    if session is not None:
        _throttle.note_right(*keys)
    return session


async def _sign_out(request: Request) -> Response:
    site, caller = site_of(request), caller_of(request)
    await read_form(request)
    if caller.session is not None:
        await site.call(site.project.access.sign_out, caller.session)
    answer = RedirectResponse(site.links.path, status_code=303)
    cookies = Cookies(site)
    cookies.delete(answer, cookies.session)
    return answer


def _own_path(site: Site, path: str) -> str:
    """Return the path to go to afterwards; our first page for one that leads elsewhere."""
    parts = urlsplit(path)
    is_own = path.startswith(site.links.path) and not parts.scheme and not parts.netloc
    is_plain = path.isprintable() and "\\" not in path and ".." not in path
    return path if is_own and is_plain else site.links.path


_TEXT = {"type": "string"}

RESOURCES = [
    Resource(
        "/sign-in",
        {
            "GET": Operation(
                handle=_show,
                need=Need.NOTHING,
                summary="The page to sign in on",
                query={"link": _TEXT, "next": _TEXT},
            ),
            "POST": Operation(handle=_sign_in, need=Need.NOTHING, summary="Sign in"),
        },
        name="sign-in",
    ),
    Resource(
        "/sign-out",
        {"POST": Operation(handle=_sign_out, need=Need.NOTHING, summary="Sign out")},
        name="sign-out",
    ),
]
