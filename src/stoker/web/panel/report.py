"""The overview, the last day and the failures as one file that needs nothing else, of at most 2 MB."""

import functools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from stoker.errors import SpecError
from stoker.store.times import moment
from stoker.web.panel import words
from stoker.web.panel.drawing import Drawing
from stoker.web.panel.templates import environment
from stoker.web.panel.view import Overview, overview_of

if TYPE_CHECKING:
    from stoker.project import Project
    from stoker.store.forecasts.activity import Rate
    from stoker.store.reports.timeline import Timeline
    from stoker.store.status_rows import Status
    from stoker.store.story_rows import FailureRow

LIMIT_BYTES = 2_000_000
_DAY_US = 86_400_000_000
_ROW_BYTES = 300  # of markup, whatever a row says


class _Extent(NamedTuple):
    """How much of everything there is, and how long a text may be."""

    causes: int
    pipelines: int
    steps: int
    rows: int
    text: int


class Day(NamedTuple):
    """What machines did in the time before the report."""

    seen: "Timeline"
    drawing: Drawing
    begin: datetime
    end: datetime


# The first that fits is taken. The last one fits whatever the store holds: its texts are bounded.
_EXTENTS = (
    _Extent(causes=1_000, pipelines=1_000, steps=1_000, rows=1_000, text=600),
    _Extent(causes=200, pipelines=200, steps=100, rows=200, text=400),
    _Extent(causes=50, pipelines=100, steps=20, rows=50, text=200),
    _Extent(causes=20, pipelines=50, steps=0, rows=20, text=80),
)


def report_of_project(project: "Project") -> bytes:
    """Return the page of a project, also while its file cannot be read."""
    name, titles = project.file.parent.name, dict[str, str]()
    with suppress(SpecError):
        name = project.settings.name
        titles = {name: one.title for name, one in project.pipelines.items() if one.title}
    status, failures = project.status(), project.failures()
    rates, day = project.history.rates(), _last_day(project)
    return report_of(name, status, failures, titles, rates=rates, day=day)


def _last_day(project: "Project") -> Day | None:
    """Return what machines did since yesterday, or since the first attempt; None where nothing was."""
    history = project.history
    first_us, now_us = history.extent()
    if first_us is None:
        return None
    begin_us = max(min(first_us, now_us - 1_000_000), now_us - _DAY_US)
    seen = history.timeline(begin_us, now_us)
    if not seen.rows:
        return None
    gaps = history.gaps(seen) if seen.form == "attempts" else {}
    drawing = Drawing(seen, gaps, by_step_colour=False)
    return Day(seen=seen, drawing=drawing, begin=moment(begin_us), end=moment(now_us))


def report_of(
    name: str,
    status: "Status",
    failures: "Sequence[FailureRow]",
    titles: Mapping[str, str],
    *,
    rates: "Mapping[str, Sequence[Rate]] | None" = None,
    day: Day | None = None,
    limit_bytes: int = LIMIT_BYTES,
) -> bytes:
    """Return the page. Where all of it would be too much, it says what was left out."""
    content, overview = b"", overview_of(status, failures, titles, rates)
    for extent in _EXTENTS:
        if _least_bytes(status, failures, extent) > limit_bytes and extent is not _EXTENTS[-1]:
            continue  # it would be rendered in vain
        content = _rendered(name, status, failures, overview, extent, day)
        if len(content) <= limit_bytes:
            break
    return content


def _least_bytes(status: "Status", failures: "Sequence[FailureRow]", extent: _Extent) -> int:
    """Return what the page would have at least: each of its rows has some markup."""
    some = list(status.pipelines.values())[: extent.pipelines]
    rows = sum(min(len(one.steps), extent.steps) for one in some) + len(some)
    rows += min(len(failures), extent.causes)
    rows += min(len(status.workers), extent.rows) + min(len(status.sources), extent.rows)
    return rows * _ROW_BYTES


def _rendered(
    name: str,
    status: "Status",
    failures: "Sequence[FailureRow]",
    overview: Overview,
    extent: _Extent,
    day: Day | None,
) -> bytes:
    now = datetime.now(UTC)
    text = (
        environment()
        .get_template("panel/report.html")
        .render(
            project=name,
            style=_style(),
            now=now,
            here=now.astimezone(),
            ago=functools.partial(words.ago, now=now),
            overview=overview,
            day=day if extent is not _EXTENTS[-1] else None,
            failures=failures[: extent.causes],
            n_failures=len(failures),
            pipelines=overview.pipelines[: extent.pipelines],
            sources=status.sources[: extent.rows],
            workers=status.workers[: extent.rows],
            status=status,
            extent=extent,
            is_report=True,
            base="",
        )
    )
    return text.encode("utf-8", "backslashreplace")


@functools.cache
def _style() -> Markup:
    """Return the styles of the pages, which are our own text."""
    folder = files("stoker.web").joinpath("static")
    texts = [folder.joinpath(name).read_text("utf-8") for name in ("stoker.css", "panel.css")]
    return Markup("\n".join(texts))  # noqa: S704 - two files of this package, no input
