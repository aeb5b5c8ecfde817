"""The list of jobs: what is asked for, checked, and the page with its links."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from stoker.spec.problems import suggest
from stoker.store.reports.job_list import JobFilter, JobPage
from stoker.web.answers import JSON, document_answer, site_of
from stoker.web.caller import require
from stoker.web.links import link
from stoker.web.needs import Need
from stoker.web.ogc.queries import FORM, LIMIT, limit_of
from stoker.web.ogc.statuses import WORDS, status_of, status_word
from stoker.web.problems import InputError, invalid

_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_NUMBER = {"type": "number", "minimum": 0}
_PLACE = {"type": "integer", "minimum": 0}
STATUSES = tuple(dict.fromkeys(WORDS.values()))
QUERY: dict[str, Any] = {
    **FORM,
    **LIMIT,
    "type": {
        "type": "array",
        "items": {"type": "string", "enum": ["process"]},
        "description": "the kinds of jobs",
    },
    "processID": {**_TEXTS, "description": "the processes whose jobs they are"},
    "status": {
        "type": "array",
        "items": {"type": "string", "enum": list(STATUSES)},
        "description": "the states that they are in",
    },
    "datetime": {
        "type": "string",
        "description": "when they were created: a time, or an interval such as `2026-11-30T00:00:00Z/..`",
    },
    "minDuration": {**_NUMBER, "description": "they have run for at least so many seconds"},
    "maxDuration": {**_NUMBER, "description": "they have run for at most so many seconds"},
    "after": {**_PLACE, "description": "begin behind this place, towards older jobs"},
    "before": {**_PLACE, "description": "end before this place, towards newer jobs"},
}
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_DURATION = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_Read = TypeVar("_Read")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def answer(request: Request) -> Response:
    """Return one page of the jobs that are asked for."""
    require(request, Need.VIEWER)
    site, limit = site_of(request), limit_of(request, otherwise=10)
    reading = _Reading(request)
    wanted = reading.filter()
    places = {name: reading.place(name) for name in ("after", "before")}
    reading.raise_errors()
    page = await site.call(
        site.project.jobs.page,
        wanted,
        word_of=status_word,
        limit=limit,
        older_than=places["after"],
        newer_than=places["before"] if places["after"] is None else None,
    )
    jobs = [status_of(job, site.links) for job in await site.foresight.as_reported(page.jobs)]
    address, more = _links(request, page)
    return document_answer(request, {"jobs": jobs, "links": more}, title="Jobs", address=address)


def _links(request: Request, page: JobPage) -> tuple[str, list[dict[str, Any]]]:
    """Return the address of this page, and the links to those beside it."""
    links = site_of(request).links
    kept = [
        (name, value)
        for name, value in request.query_params.multi_items()
        if name not in ("after", "before", "f")
    ]

    def to(**place: int) -> str:
        pairs = [*kept, *((name, str(value)) for name, value in place.items())]
        return links.with_query("jobs", pairs)

    here = [
        (name, request.query_params[name])
        for name in ("after", "before")
        if name in request.query_params
    ]
    made = []
    if page.older is not None:
        made.append(link("next", to(after=page.older), type_=JSON, title="Older jobs"))
    if page.newer is not None:
        made.append(link("prev", to(before=page.newer), type_=JSON, title="Newer jobs"))
    return links.with_query("jobs", [*kept, *here]), made


class _Reading:
    """Reads the query parameters of one request, and collects its mistakes."""

    def __init__(self, request: Request) -> None:
        self._query = request.query_params
        self._errors: list[InputError] = []

    def filter(self) -> JobFilter:
        """Return which jobs are wanted."""
        self._words("type", ("process",))
        from_us, to_us = self._interval()
        pipelines = self._texts("processID")
        return JobFilter(
            pipelines=tuple(pipelines) if "processID" in self._query else None,
            words=self._words("status", STATUSES),
            from_us=from_us,
            to_us=to_us,
            least_s=self._number("minDuration"),
            most_s=self._number("maxDuration"),
        )

    def place(self, name: str) -> int | None:
        """Return a place in the list."""
        return self._one(name, lambda text: int(text) if _is_place(text) else None, "a place")

    def raise_errors(self) -> None:
        """Raise Problem 400 with all mistakes, if there are any."""
        if self._errors:
            raise invalid(self._errors)

    def _texts(self, name: str) -> list[str]:
        return [word for text in self._query.getlist(name) for word in text.split(",") if word]

    def _words(self, name: str, known: Sequence[str]) -> tuple[str, ...]:
        words = self._texts(name)
        for word in words:
            if word not in known:
                hint = suggest(word, known)
                self._add(name, word, f"`{word[:40]}` is not a {name} of jobs; {hint}")
        if name in self._query and not words:
            self._add(name, "", f"`{name}` is empty")
        return tuple(word for word in words if word in known)

    def _number(self, name: str) -> float | None:
        def read(text: str) -> float | None:
            return float(text) if _DURATION.fullmatch(text) else None

        return self._one(name, read, "a number of seconds")

    def _one(self, name: str, read: Callable[[str], _Read | None], kind: str) -> _Read | None:
        text = self._query.get(name)
        if text is None:
            return None
        found = read(text)
        if found is None:
            self._add(name, text, f"`{name}` is `{text[:40]}`, which is not {kind}")
        return found

    def _interval(self) -> tuple[int | None, int | None]:
        """Return the first and the last microsecond of `datetime`."""
        text = self._query.get("datetime")
        if text is None:
            return None, None
        begin, slash, end = text.partition("/")
        if not slash:
            at_us = _moment_us(text)
            if at_us is None:
                self._add("datetime", text, f"`datetime` is `{text[:60]}`, which is not a time")
            return at_us, at_us
        bounds = [None if part in ("", "..") else _moment_us(part) for part in (begin, end)]
        is_open = [part in ("", "..") for part in (begin, end)]
        is_wrong = any(
            bound is None and not may_be for bound, may_be in zip(bounds, is_open, strict=True)
        )
        if is_wrong or all(is_open):
            self._add("datetime", text, f"`datetime` is `{text[:60]}`, which is not an interval")
        elif None not in bounds and bounds[0] > bounds[1]:  # type: ignore[operator]  # neither is None
            self._add("datetime", text, "`datetime` ends before it begins")
        return bounds[0], bounds[1]

    def _add(self, name: str, value: str, detail: str) -> None:
        self._errors.append(InputError(input=name, rule="value", value=value[:60], detail=detail))


def _is_place(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18


def _moment_us(text: str) -> int | None:
    """Return a time as RFC 3339 has it, in microseconds; None for any other text."""
    if not _TIME.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.upper()))
    except ValueError:
        return None
    return round((found - _EPOCH).total_seconds() * 1_000_000)
