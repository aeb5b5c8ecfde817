"""Which form of an answer a client prefers (RFC 9110, section 12.5), and its `Prefer` (RFC 7240)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request

from stoker.web.links import HTML, JSON
from stoker.web.problems import Problem

_FORMS = {"json": JSON, "html": HTML}
_PREFERENCE = re.compile(
    r"\s*(?P<name>[!#$%&'*+.^_`|~\w-]+)\s*(?:=\s*(?P<value>\"[^\"]*\"|[^\s;,\"]*))?[^,]*", re.ASCII
)


def form_of(request: Request, offers: Sequence[str] = (JSON, HTML)) -> str:
    """Return the media type to answer with: that of `?f=`, else the one that `Accept` prefers.

    Problem 400 for an unknown `f`, and 406 where the client accepts none of the offers.
    """
    asked = request.query_params.get("f")
    if asked is not None:
        if _FORMS.get(asked) not in offers:
            known = ", ".join(f"`{name}`" for name, media in _FORMS.items() if media in offers)
            raise Problem(400, f"`f` is `{asked[:40]}`; it may be {known}")
        return _FORMS[asked]
    found = preferred(request.headers.getlist("accept"), offers)
    if found is None:
        raise Problem(406, f"this is available as {', '.join(offers)} only")
    return found


def preferred(accept: Iterable[str], offers: Sequence[str]) -> str | None:
    """Return the offer with the highest quality, earlier ones first; None if none is accepted."""
    ranges = [one for line in accept for one in _ranges(line)]
    if not ranges:
        return offers[0]
    best, most = None, 0.0
    for offer in offers:
        quality = _quality(offer, ranges)
        if quality > most:
            best, most = offer, quality
    return best


def accepts(request: Request, media: str) -> bool:
    """Whether the client accepts this media type; one that does not say accepts everything."""
    return preferred(request.headers.getlist("accept"), (media,)) is not None


def _ranges(line: str) -> Iterable[tuple[str, float]]:
    for part in line.split(","):
        media, *parameters = (word.strip() for word in part.split(";"))
        if not media:
            continue
        quality = 1.0
        for word in parameters:
            name, _, value = word.partition("=")
            if name.strip().lower() == "q":
                try:
                    quality = min(max(float(value), 0.0), 1.0)
                except ValueError:
                    quality = 0.0
        yield media.lower(), quality


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the quality that the most specific range gives to the offer."""
    plain = offer.partition(";")[0]
    kind = plain.partition("/")[0]
    for wanted in (plain, f"{kind}/*", "*/*"):
        found = [quality for media, quality in ranges if media == wanted]
        if found:
            return max(found)
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """What a client prefers of an execution; None where it does not say."""

    is_async: bool | None = None
    wait_s: float | None = None


def preference_of(request: Request) -> Preference:
    """Return what the `Prefer` headers ask for; preferences that we do not know are ignored."""
    given = preferences(request.headers.getlist("prefer"))
    is_async = None
    if "respond-async" in given:
        is_async = True
    elif "respond-sync" in given:
        is_async = False
    wait_s = None
    wait = given.get("wait", "")
    if wait.isascii() and wait.isdecimal():
        wait_s = float(wait[:9])
    return Preference(is_async=is_async, wait_s=wait_s)


def preferences(lines: Iterable[str]) -> Mapping[str, str]:
    """Return the preferences of all headers by lower-case name; the first of each counts."""
    found: dict[str, str] = {}
    for line in lines:
        for one in _PREFERENCE.finditer(line):
            name = one["name"].lower()
            found.setdefault(name, (one["value"] or "").strip('"'))
    return found
