"""What `run` and `work` show while they work: a live display on a terminal, else a line at times.

The worker calls `update` and is held up for nothing: a thread of ours draws, and asks the store for
totals with a connection of its own.
"""

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stoker.cli.drained import Drained
from stoker.cli.render import cell_width, human_eta, human_seconds, say, visible
from stoker.errors import StokerError
from stoker.project.services.service import running
from stoker.work.threads import Companion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

    from stoker.project import Project
    from stoker.store.status_rows import Status
    from stoker.work.progress import Current, Event

DRAW_S = 0.25
ASK_S = 2.0
ASK_SHARE = 0.02  # of the time at most goes into asking
NEWS = 1.5  # times as many ended: the estimate of then is out of date
LINE_S = 5.0
QUIET_S = 60.0  # between the lines of a batch job
_OVER = ("done", "skipped", "failed", "cancelled")
STOPPING = "stopping: what runs gets a few seconds; a second Ctrl-C ends it at once"
_SHOWN = 8  # attempts shown at a time
_LEAST_BAR = 10  # columns


@contextmanager
def progress_for(
    project: "Project",
    pipeline: str | None = None,
    *,
    stays: bool = False,
    has_lines: bool = True,
    is_batch_job: bool = False,
) -> "Iterator[Progress]":
    """In the block, what suits standard error is shown; one that `stays` reports whenever nothing is left.

    Without `has_lines`, anything but a terminal gets the worker's troubles only. A batch job's log,
    which is on a file system that many jobs share, gets a line a minute, and no connection to the
    store is kept for it. A display that dies keeps nobody from working: its traceback is on standard
    error.
    """
    progress: Progress
    if is_batch_job:
        progress = QuietProgress(project, pipeline, None)
    else:
        plain = Progress if has_lines else Troubles
        kind = LiveProgress if sys.stderr.isatty() else plain
        progress = kind(project, pipeline, Drained(project) if stays else None)
    with running([progress], on_failure=lambda _: None):
        yield progress


class Progress(Companion):
    """A line on standard error every few seconds, and nothing for a run that is over before.

    Totals are asked for only by a worker that has something to do, and of several that share their
    cpus by each in proportion less often: all of them ask about as often as one alone would.
    """

    name = "progress"
    interval_s = LINE_S

    def __init__(
        self, project: "Project", pipeline: str | None, drained: Drained | None = None
    ) -> None:
        super().__init__()
        self._project = project
        self._drained = drained
        self._pipeline = pipeline
        self._event: Event | None = None
        self._shown: Event | None = None
        self._status: Status | None = None
        self._ask_again_s = self._heard_s = 0.0
        self._asked_s = -ASK_S
        self._look_again_s = 0.0
        self._over_before: int | None = None  # tasks that were over when this began
        self._ended_then = 0  # of this worker's tasks, when the totals were asked for

    def update(self, event: "Event") -> None:
        """Remember the newest snapshot; called by the worker."""
        self._event = event

    def _run(self) -> None:
        while not self._over.wait(self.interval_s):
            event = self._event
            if event is not None and self._is_news(event):
                self._ask(event)
                self._draw(event)
                self._shown = event
            if event is not None:
                self._tell_drained(event)
        self._end()

    def _is_news(self, event: "Event") -> bool:
        """Whether anything happens, or has since the last line: an idle service is silent."""
        if self._shown is None or event.running or event.trouble != self._shown.trouble:
            return event is not self._shown
        return _ended(event) != _ended(self._shown) or bool(self._shown.running)

    def _ask(self, event: "Event") -> None:
        """Learn the totals, now and then; early in a run, when most is learned, more often."""
        now_s = time.monotonic()
        if not (event.running or event.queued or _ended(event)):
            return
        is_news = _ended(event) >= NEWS * max(self._ended_then, 1)
        soon_s = self._asked_s + ASK_S * event.crowding
        if now_s < (soon_s if is_news else self._ask_again_s):
            return
        self._asked_s = now_s
        began_s = time.thread_time()
        try:
            self._status = self._project.status(pipeline=self._pipeline)
            self._heard_s = time.monotonic()
            self._ended_then = _ended(event)
            if self._over_before is None:
                self._over_before = max(0, _over_and_all(self._status)[0] - self._ended_then)
        except StokerError:
            return
        finally:
            took_s = time.thread_time() - began_s
            pause_s = max(ASK_S, took_s / ASK_SHARE) * event.crowding
            self._ask_again_s = time.monotonic() + pause_s

    def _tell_drained(self, event: "Event") -> None:
        """Have the last word, where somebody wants it; not more often than a line is due."""
        if self._drained is None or time.monotonic() < self._look_again_s:
            return
        self._look_again_s = time.monotonic() + LINE_S
        try:
            text = self._drained.look(event)
        except StokerError:
            return
        if text is not None:
            self._say(text)

    def say(self, text: str) -> None:
        """Print a line, above a live display if there is one."""
        self._say(text)

    def _say(self, text: str) -> None:
        say(text)

    def _draw(self, event: "Event") -> None:
        say(self._line(event))

    def _end(self) -> None:
        """The display is gone."""

    def _totals(self, event: "Event") -> tuple[int, int, str | None]:
        """Return how many tasks are over, how many there are, and in words how long the rest takes.

        Tasks that were over before this began are left out of both. What this worker has ended since
        they were asked for is counted in.
        """
        if self._status is None:
            return 0, 0, None
        over, total = _over_and_all(self._status)
        before = self._over_before or 0
        known = over - before + _ended(event) - self._ended_then
        return max(0, min(known, total - before)), max(0, total - before), self._eta()

    def _eta(self) -> str | None:
        """Return when the last pipeline ends, as last computed, less the time since."""
        found = self._status.pipelines.values() if self._status is not None else ()
        etas = [one for one in found if one.eta_s is not None]
        if not etas:
            return None
        last = max(etas, key=lambda one: one.eta_s or 0.0)
        since_s = time.monotonic() - self._heard_s
        low, high = last.eta_interval_s or (0.0, 0.0)
        interval = (max(low - since_s, 0.0), max(high - since_s, 0.0))
        return human_eta(max((last.eta_s or 0.0) - since_s, 0.0), interval)

    def _line(self, event: "Event") -> str:
        over, total, eta = self._totals(event)
        parts = [f"{over:,} of {total:,} tasks"] if total else []
        parts.append(_counts(event))
        if eta is not None:
            parts.append(eta)
        if event.is_stopping:
            parts.append(STOPPING)
        if event.trouble:
            parts.append(event.trouble)
        return "; ".join(parts)


class QuietProgress(Progress):
    """A line a minute, of what this worker alone knows."""

    interval_s = QUIET_S

    def _ask(self, event: "Event") -> None:
        """Ask nobody."""


class Troubles(Progress):
    """A line whenever what keeps the worker from working has changed."""

    def _is_news(self, event: "Event") -> bool:
        before = self._shown.trouble if self._shown is not None else None
        return event.trouble != before

    def _ask(self, event: "Event") -> None:
        """Ask nobody."""

    def _draw(self, event: "Event") -> None:
        say(event.trouble or "the worker goes on")


class LiveProgress(Progress):
    """A display that is redrawn a few times a second: a bar, counts, and what runs now."""

    interval_s = DRAW_S

    def __init__(
        self, project: "Project", pipeline: str | None, drained: Drained | None = None
    ) -> None:
        super().__init__(project, pipeline, drained)
        self._live: Live | None = None

    def _is_news(self, event: "Event") -> bool:
        return event is not self._shown

    def _draw(self, event: "Event") -> None:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(self._picture(event, self._live.console), refresh=True)

    def _say(self, text: str) -> None:
        if self._live is None:
            say(text)
        else:
            self._live.console.print(text, highlight=False)

    def _end(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _picture(self, event: "Event", console: "Console") -> "RenderableType":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        over, total, eta = self._totals(event)
        head = Table.grid(padding=(0, 1))
        share = f"{over:,} of {total:,} tasks" if total else ""
        room = (
            console.width - cell_width(share) - cell_width(eta or "") - 3
        )  # between and behind them
        bar = ProgressBar(total=total or 1, completed=over, width=max(_LEAST_BAR, min(40, room)))
        head.add_row(
            bar,
            Text(share, no_wrap=True),
            Text(eta or "", style="cyan", no_wrap=True, overflow="ellipsis"),
        )
        counts = _counts_in_colour(event)
        if event.is_stopping:
            counts.append(f"  {STOPPING}", style="yellow")
        lines: list[RenderableType] = [head, counts]
        if event.trouble:
            lines.append(Text(visible(event.trouble), style="yellow"))
        lines.append(self._running(event, console))
        return Group(*lines)

    def _running(self, event: "Event", console: "Console") -> "RenderableType":
        from rich.table import Table
        from rich.text import Text

        room = max(1, min(_SHOWN, console.height - 5))
        table = Table.grid(padding=(0, 2))
        for current in sorted(event.running, key=lambda one: -one.elapsed_s)[:room]:
            table.add_row(
                Text(human_seconds(current.elapsed_s), style="bright_black", justify="right"),
                Text(_step(current), style="cyan", no_wrap=True),
                Text(visible(current.key), no_wrap=True, overflow="ellipsis"),
            )
        more = len(event.running) - room
        if more > 0:
            table.add_row("", "", Text(f"and {more} more", style="bright_black"))
        return table


def _step(current: "Current") -> str:
    return f"{current.step}, publishing" if current.is_publishing else current.step


def _over_and_all(status: "Status") -> tuple[int, int]:
    """Return how many tasks are over, and how many there are."""
    found = status.pipelines.values()
    over = sum(one.tasks[word] for one in found for word in _OVER)
    return over, sum(sum(one.tasks.values()) for one in found)


def _ended(event: "Event") -> int:
    return event.done + event.failed + event.skipped + event.cancelled


def _counts(event: "Event") -> str:
    """Return the worker's own counts on one line."""
    words = [f"{event.done:,} done"]
    words += [
        f"{n:,} {word}"
        for word, n in (
            ("failed", event.failed),
            ("skipped", event.skipped),
            ("cancelled", event.cancelled),
        )
        if n
    ]
    publishing = sum(one.is_publishing for one in event.running)
    words.append(f"{len(event.running) - publishing} running")
    if publishing:
        words.append(f"{publishing} publishing")
    if event.rate:
        is_quick = event.rate >= 0.1
        words.append(f"{event.rate:,.1f}/s" if is_quick else f"{event.rate * 60:,.1f}/min")
    return f"{', '.join(words)}, {human_seconds(event.elapsed_s)}"


def _counts_in_colour(event: "Event") -> "Text":
    from rich.text import Text

    text = Text(_counts(event))
    text.highlight_regex(r"\d[\d,]* failed", "red")
    text.highlight_regex(r"\d[\d,]* done", "green")
    return text
