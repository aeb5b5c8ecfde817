"""Addresses and links. All are built from the address that users see, never from the request."""

import functools
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

JSON, HTML = "application/json", "text/html"
OPENAPI_30 = "application/vnd.oai.openapi+json;version=3.0"
OGC = "http://www.opengis.net/def/rel/ogc/1.0"


class Links:
    """Makes addresses below the one that users see, which ends with a slash."""

    def __init__(self, base: str) -> None:
        self.base = base.rstrip("/") + "/"
        self.path = urlsplit(self.base).path

    def to(self, *parts: str, **query: str) -> str:
        """Return the absolute address of a path, given by its parts; each is quoted."""
        path = "/".join(map(_quoted, parts))
        return self.base + path + (f"?{urlencode(query)}" if query else "")

    def with_query(self, path: str, pairs: Sequence[tuple[str, str]]) -> str:
        """Return the absolute address of a path with these parameters, in their order."""
        return self.base + path + (f"?{urlencode(pairs)}" if pairs else "")

    def alternates(self, address: str, title: str, *, shown: str = JSON) -> list[dict[str, Any]]:
        """Return the links from a document to itself and to its other form; `shown` is this one's."""
        sign = "&" if "?" in address else "?"
        forms = {JSON: f"{address}{sign}f=json", HTML: f"{address}{sign}f=html"}
        other = HTML if shown == JSON else JSON
        return [
            link("self", address, type_=shown, title=title),
            link("alternate", forms[other], type_=other, title=f"{title}, as {_name(other)}"),
        ]


@functools.lru_cache(maxsize=4096)
def _quoted(part: str) -> str:
    return quote(part, safe="")


def link(rel: str, href: str, *, type_: str | None = None, title: str = "") -> dict[str, Any]:
    """Return one link."""
    made: dict[str, Any] = {"href": href, "rel": rel}
    if type_ is not None:
        made["type"] = type_
    if title:
        made["title"] = title
    return made


def _name(media: str) -> str:
    return "a page" if media == HTML else "JSON"
