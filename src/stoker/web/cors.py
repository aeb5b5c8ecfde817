"""Pages of other web sites that may call the service: those of `[web] origins`, and no others."""

from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stoker.web.site import Site

METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
SENT = (
    "Accept, Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer, Tus-Resumable, "
    "Upload-Length, Upload-Metadata, Upload-Offset, X-HTTP-Method-Override"
)
SHOWN = (
    "Content-Disposition, ETag, Link, Location, Preference-Applied, Retry-After, Tus-Extension, "
    "Tus-Resumable, Tus-Version, Upload-Expires, Upload-Length, Upload-Offset"
)
KEPT_S = 600  # that a browser may remember the answer to a preflight


class Cors:
    """Answers preflights, and lets pages of allowed origins read answers. Cookies are never sent."""

    def __init__(self, app: ASGIApp, *, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight, or mark the answer."""
        origin = Headers(scope=scope).get("origin") if scope["type"] == "http" else None
        if origin is None:
            await self._app(scope, receive, send)
            return
        is_allowed = origin.lower() in self._site.settings.web.origins
        is_preflight = scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(
            scope=scope
        )
        if is_preflight and is_allowed:
            headers = {
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Allow-Methods": METHODS,
                "Access-Control-Allow-Headers": SENT,
                "Access-Control-Max-Age": str(KEPT_S),
                "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            }
            await Response(status_code=204, headers=headers)(scope, receive, send)
            return

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                _mark(message, origin if is_allowed else None)
            await send(message)

        await self._app(scope, receive, send_marked)


def _mark(message: MutableMapping[str, Any], origin: str | None) -> None:
    headers = MutableHeaders(scope=message)
    headers.add_vary_header("Origin")
    if origin is not None:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = SHOWN
