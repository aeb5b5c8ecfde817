"""Documents as plain pages: whatever a program gets as JSON, a person can read and follow."""

import functools
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.links import HTML

if TYPE_CHECKING:
    from jinja2 import Environment


@functools.cache
def environment() -> "Environment":
    """Return the templates of all pages; every value is escaped, and a missing one is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("stoker.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    made.filters["safe_link"] = _safe_link
    return made


def page_of(request: Request, content: Any, *, title: str, status: int = 200) -> Response:
    """Return the content as a page with links that can be followed."""
    site = request.app.state.site
    address = site.links.base.rstrip("/") + request.scope["path"]
    text = (
        environment()
        .get_template("document.html")
        .render(
            title=title,
            site=site.settings.name,
            base=site.links.base,
            home=site.links.to(f="html"),
            json=f"{address}?f=json",
            content=content,
        )
    )
    return Response(text.encode("utf-8", "replace"), status, media_type=f"{HTML}; charset=utf-8")


def _safe_link(address: object) -> str:
    """Return the address if following it can do no harm; else one that leads nowhere."""
    text = str(address)
    return text if text.startswith(("http://", "https://")) else "#"
