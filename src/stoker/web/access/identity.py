"""Finds out who asks, before anything else looks at a request."""

import functools
import hashlib
from collections.abc import Callable, MutableMapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stoker.errors import StokerError, Unavailable
from stoker.model.access import Role
from stoker.store.access.sessions import Identity
from stoker.web.access.cookies import Cookies
from stoker.web.access.forgery import check_source
from stoker.web.access.hosts import is_own_name
from stoker.web.access.patience import InTime
from stoker.web.access.peers import client_address, is_trusted
from stoker.web.bodies import check_coding
from stoker.web.caller import Caller
from stoker.web.problems import Problem, problem_of
from stoker.web.site import Site

KNOWN_S, MOST_KNOWN = 3600.0, 1_000  # sessions that are remembered for when the store is away
_LOOKING = ("GET", "HEAD")
_LONGEST_SECRET = 200  # characters; one that is longer is none of ours


class Identify:
    """Notes the caller in the request's scope; what it may is decided by the table of routes.

    A token comes first, then the name that a trusted proxy gives, then a session's cookie. A token
    that is not good is an error, also where none is needed: its owner wants to know. A session that
    is over is not: its user signs in again.
    """

    def __init__(
        self, app: ASGIApp, *, site: Site, answer: Callable[[Request, Problem], Response]
    ) -> None:
        self._app = app
        self._site = site
        self._answer = answer
        self._known: dict[str, tuple[float, Identity]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the caller, and pass the request on, unless it cannot be who it claims to be."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            caller = await self._caller(request)
            scope["stoker.caller"] = caller
            check_source(request, self._site, caller)
            check_coding(request)
        except (Problem, StokerError, OSError) as error:
            scope.setdefault("stoker.caller", Caller(address=""))
            answer = self._answer(request, problem_of(error))
            await answer(scope, receive, send)
            return
        await self._app(scope, InTime(receive), functools.partial(self._send, scope, send))

    async def _send(self, scope: Scope, send: Send, message: Message) -> None:
        """Send it on; with the cookie of a form's token, if a page has one."""
        secret = scope.get("stoker.form_secret")
        if message["type"] == "http.response.start" and secret:
            from starlette.datastructures import MutableHeaders
            from starlette.responses import Response

            cookies, holder = Cookies(self._site), Response()
            cookies.set(holder, cookies.form, secret)
            MutableHeaders(scope=message).append("set-cookie", holder.headers["set-cookie"])
        await send(message)

    async def _caller(self, request: Request) -> Caller:
        web = self._site.settings.web
        address = client_address(request, web.trusted_proxies)
        access = self._site.project.access
        secret = _bearer(request)
        if secret is not None:
            found = await self._site.call(access.of_token, secret)
            if found is None:
                raise Problem(
                    401,
                    "this token is unknown, was revoked, or has expired",
                    headers={"WWW-Authenticate": 'Bearer realm="stoker", error="invalid_token"'},
                )
            return Caller(user=found.user, role=found.role, address=address, token=found.token)
        stranger = Caller(address=address, role=self._role_of_strangers(request))
        name = self._name_by_proxy(request)
        if name is not None:
            found = await self._site.call(access.of_user, name)
            role = found.role if found is not None else stranger.role
            return Caller(user=name, role=role, address=address, is_ambient=True)
        cookies = Cookies(self._site)
        secret = cookies.get(request, cookies.session)
        if secret is None or len(secret) > _LONGEST_SECRET:
            return stranger
        found = await self._session(request, secret)
        return stranger if found is None else _of_session(found, address, secret)

    def _role_of_strangers(self, request: Request) -> Role | None:
        """Return what people who have not signed in may, if they asked for this service by its name."""
        web = self._site.settings.web
        if web.anonymous is None:
            return None
        peer = request.client.host if request.client else ""
        is_ours = is_trusted(peer, web.trusted_proxies) or is_own_name(request, self._site)
        return Role.of(web.anonymous) if is_ours else None

    async def _session(self, request: Request, secret: str) -> Identity | None:
        """Return whose session it is.

        While the store is away, whoever was known shortly before may go on looking at what is in memory.
        """
        mark, now_s = hashlib.sha256(secret.encode()).hexdigest(), self._site.now_s()
        try:
            found = await self._site.call(self._site.project.access.of_session, secret)
        except Unavailable:
            known = self._known.get(mark)
            if known is None or request.method not in _LOOKING or now_s - known[0] > KNOWN_S:
                raise
            return known[1]
        self._known.pop(mark, None)
        if found is not None:
            self._known[mark] = now_s, found
            if len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]
        return found

    def _name_by_proxy(self, request: Request) -> str | None:
        """Return the name of the user who has signed in at a trusted proxy; None if nobody has."""
        web = self._site.settings.web
        peer = request.client.host if request.client else ""
        if web.user_header is None or not is_trusted(peer, web.trusted_proxies):
            return None
        names = request.headers.getlist(web.user_header)
        if len(names) > 1:
            raise Problem(400, "two names of a user came through the proxy")
        name = _decoded(names[0]) if names else ""
        return name or None


def _of_session(found: Identity, address: str, secret: str) -> Caller:
    return Caller(
        user=found.user, role=found.role, address=address, is_ambient=True, session=secret
    )


def _bearer(request: Request) -> str | None:
    """Return the token that the request brings; None if it brings none, or another kind of secret."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip()[:_LONGEST_SECRET] if scheme.lower() == "bearer" else None


def _decoded(value: str) -> str:
    """Return a header's value, which is read as Latin-1, as the UTF-8 that proxies write."""
    try:
        return value.encode("latin-1").decode("utf-8").strip()
    except UnicodeError:
        return value.strip()


class Headers:
    """Adds headers for browsers to every answer, unless the answer sets them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the headers to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, functools.partial(_guarded, send))


_HEADERS = {
    b"content-security-policy": (
        b"default-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; "
        b"form-action 'self'; frame-ancestors 'none'"
    ),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"private, no-cache",  # who asks decides what is in it
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=()",
}


async def _guarded(send: Send, message: MutableMapping[str, Any]) -> None:
    if message["type"] == "http.response.start":
        given = list(message.get("headers", []))
        names = {name.lower() for name, _ in given}
        given += [(name, value) for name, value in _HEADERS.items() if name not in names]
        message = {**message, "headers": given}
    await send(message)
