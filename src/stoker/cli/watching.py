"""`stoker status --watch`: the overview in a terminal, until somebody stops it."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from stoker.cli.render import human_seconds, visible
from stoker.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Group, RenderableType
    from rich.text import Text

    from stoker.project import Project
    from stoker.store.status_rows import Status
    from stoker.store.story_rows import FailureRow
    from stoker.web.panel.view import Overview, PipelineLine
    from stoker.web.panel.words import Part

LOOK_S = 1.0  # between two looks whether anything has happened
MOST_S = 10.0  # after which all is read again: some things change by themselves
SHARE = 50  # a reading that took long is repeated later: a fiftieth of the time is spent on it
_CAUSES = 5
_COLOURS = {
    "done": "green", "running": "cyan", "ready": "blue", "held": "yellow", "failed": "red",
    "quarantined": "magenta", "blocked": "bright_black", "skipped": "bright_black",
    "cancelled": "bright_black",
}  # fmt: skip


class Shown(NamedTuple):
    """What is on the screen: as of when, and why it is not newer; None where it is the newest."""

    status: "Status"
    failures: "Sequence[FailureRow]"
    at: datetime
    trouble: str | None = None


def watch(project: "Project", pipeline: str | None) -> None:
    """Show the overview and keep it current, until interrupted."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for shown in readings(project, pipeline):
            live.update(page(shown, console.height, console.width), refresh=True)


def readings(project: "Project", pipeline: str | None) -> "Iterator[Shown]":
    """Yield the newest state, each second; read again only where something has happened.

    An older one, with the reason, while the store does not answer; Unavailable if it never did.
    """
    from stoker.store.reports.position import journal_position

    shown: Shown | None = None
    known, read_s, took_s = "", 0.0, 0.0
    while True:
        began_s = time.monotonic()
        try:
            position = journal_position(project.store)
            age_s = began_s - read_s
            is_due = position != known and age_s >= SHARE * took_s
            if shown is None or is_due or age_s >= max(MOST_S, SHARE * took_s) or shown.trouble:
                status = project.status(pipeline=pipeline)
                shown = Shown(status, project.failures(pipeline=pipeline), datetime.now(UTC))
                known, read_s = position, began_s
                took_s = time.monotonic() - began_s
        except Unavailable as error:
            if shown is None:
                raise
            shown = shown._replace(trouble=str(error))
        yield shown
        time.sleep(LOOK_S)


def page(shown: Shown, height: int, width: int) -> "Group":
    """Return what fits on a screen of this size, the most important first."""
    from rich.console import Group
    from rich.text import Text

    from stoker.web.panel.view import overview_of

    overview = overview_of(shown.status, shown.failures, {})
    lines: list[RenderableType] = []
    if shown.trouble:
        age_s = (datetime.now(UTC) - shown.at).total_seconds()
        said = f"the store is away; this is {human_seconds(age_s)} old: {shown.trouble}"
        lines.append(_line(said, width, "bold red"))
    lines.append(Text(visible(overview.sentence), style="bold"))
    lines += [
        _line(f"{where}: {trouble}", width, "yellow") for where, trouble in overview.troubles[:3]
    ]
    lines.append(Text(""))
    causes = list(_causes(overview, width))
    room = max(height - len(lines) - len(causes) - 3, 2)
    for each in overview.pipelines[: room // 2]:
        lines += _pipeline(each, width)
    left = len(overview.pipelines) - room // 2
    if left > 0:
        lines.append(_line(f"and {left:,} more pipelines", width, "bright_black"))
    return Group(*lines, Text(""), *causes)


def _pipeline(one: "PipelineLine", width: int) -> "list[RenderableType]":
    """Two lines: the name with its counts, and the bar."""
    from rich.text import Text

    head = Text(no_wrap=True, overflow="ellipsis")
    head.append(visible(one.name), style="bold")
    for _, look, n in one.counts:
        head.append(f"  {look.shape} {n:,} {look.word}", style=_COLOURS[look.colour])
    if one.eta:
        head.append(f"  {one.eta}", style="bright_black")
    return [head, _bar(one.parts, min(width, 100))]


def _bar(parts: "Sequence[Part]", width: int) -> "Text":
    from rich.text import Text

    bar, drawn = Text(no_wrap=True), 0
    for part in parts:
        end = max(round((part.x + part.width) / 1000 * width), drawn + 1)
        bar.append("━" * (end - drawn), style=_COLOURS[part.look.colour])
        drawn = end
    bar.append("━" * max(width - drawn, 0), style="bright_black")
    return bar


def _causes(overview: "Overview", width: int) -> "Iterator[Text]":
    if not overview.failures:
        return
    yield _line("Failures by cause", width, "bold")
    for row in overview.failures[:_CAUSES]:
        yield _line(f"{row.n:>7,}  {row.step or 'quarantined'}: {row.cause}", width, "red")
    if overview.n_causes > _CAUSES:
        yield _line(f"         and {overview.n_causes - _CAUSES:,} more causes", width, "")


def _line(text: str, width: int, style: str) -> "Text":
    from rich.text import Text

    made = Text(visible(text), style=style, no_wrap=True, overflow="ellipsis")
    made.truncate(width, overflow="ellipsis")
    return made
