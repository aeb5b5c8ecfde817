"""Requests that pages of other web sites make a browser send, distinguished from our own.

A browser adds the user's cookie, and a proxy the user's name, to every request, no matter who caused it. So
a request that changes something must come from a page of ours: browsers say where it comes from, and
forms of ours have a token that no other page can read.
"""

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from starlette.requests import Request

from stoker.web.access.cookies import Cookies
from stoker.web.caller import Caller, caller_of
from stoker.web.problems import Problem
from stoker.web.site import Site

FIELD = "form_token"  # of every form that changes something
HEADER = "x-form-token"  # of a script's request
SAFE = ("GET", "HEAD", "OPTIONS")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def check_source(request: Request, site: Site, caller: Caller) -> None:
    """Raise Problem 403 for a change that a page of another site asks for in a user's name.

    Programs, which bring a token, and strangers, whose name is worth nothing, are not held up.
    """
    if request.method in SAFE or not caller.is_ambient:
        return
    fetched, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if fetched is not None and fetched not in ("same-origin", "none"):
        raise _foreign()
    if origin is not None and not _is_own(request, site, origin):
        raise _foreign()
    if fetched is None and origin is None and not _has_own_form(request):
        check_token(request, request.headers.get(HEADER, ""))


def form_token(request: Request) -> str:
    """Return the token that a form of this answer must have as `form_token`."""
    caller = caller_of(request)
    if caller.session is not None:
        return _token_of(caller.session)
    cookies = Cookies(request.app.state.site)
    secret = request.scope.get("stoker.form_secret") or cookies.get(request, cookies.form)
    if not secret:
        secret = request.scope["stoker.form_secret"] = secrets.token_urlsafe(32)
    return _token_of(secret)


def check_token(request: Request, given: str) -> None:
    """Raise Problem 403 unless `given` is the token of a form that this browser got from us."""
    caller = caller_of(request)
    cookies = Cookies(request.app.state.site)
    secret = caller.session or cookies.get(request, cookies.form)
    if not secret or not hmac.compare_digest(_token_of(secret).encode(), given.encode()):
        raise Problem(403, "this form is not from here, or too old; load the page again")


def _token_of(secret: str) -> str:
    return hashlib.sha256(f"form:{secret}".encode()).hexdigest()


def _is_own(request: Request, site: Site, origin: str) -> bool:
    """Whether a page of this origin is ours: at the address users see, or the one they asked."""
    own = urlsplit(site.links.base)
    if origin.lower() == f"{own.scheme}://{own.netloc}".lower():
        return True
    host = request.headers.get("host", "")
    return bool(host) and urlsplit(origin).netloc.lower() == host.lower()


def _has_own_form(request: Request) -> bool:
    """Whether the body is that of a form, whose token `read_form` asks for."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in _FORMS


def _foreign() -> Problem:
    return Problem(403, "this request came from a page of another web site; nothing was done")
