"""Timelines as drawings: bars in lanes, bins, idle times and ticks, in per cent of the window."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict

from stoker.store.reports.bin_widths import width_for
from stoker.store.times import moment
from stoker.web.panel import words

if TYPE_CHECKING:
    from stoker.store.reports.idle import Gap
    from stoker.store.reports.timeline import Bar, Bin, Row, Timeline

LANES = 48  # of a row; more at once share the last one
COLOURS = 8  # of steps
TICKS = 10
_BIN_HEIGHT, _FAILED_HEIGHT = 36, 4
_LEAST = 0.12  # per cent: no bar is invisible
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A rectangle of the drawing; `item` and `pipeline` are where it leads, if anywhere."""

    x: str
    width: str
    y: float
    height: float
    look: str
    title: str
    item: str | None = None
    pipeline: str = ""
    is_gap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A host or a step as it is drawn, and the same in words."""

    name: str
    height: float
    marks: Sequence[Mark]
    said: str
    done: int
    failed: int
    at_once: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A moment on the axis, and the window up to the next one."""

    x: str
    width: str
    label: str
    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleTime:
    """One gap as the list has it."""

    host: str
    begin: datetime
    end: datetime
    took: str
    why: str


class _Place(TypedDict):
    """Where something is drawn."""

    x: str
    width: str


class Drawing:
    """The drawing of one timeline."""

    def __init__(
        self, seen: "Timeline", gaps: "Mapping[str, Sequence[Gap]]", *, by_step_colour: bool
    ) -> None:
        self._seen = seen
        self._span = seen.end_us - seen.begin_us
        steps = sorted({(bar.pipeline, bar.step) for row in seen.rows for bar in row.bars})
        self._colours = {step: f"step-{at % COLOURS}" for at, step in enumerate(steps)}
        self._by_step = by_step_colour
        self.legend = list(self._legend())
        self.lanes = [self._lane(row, gaps.get(row.name, ())) for row in seen.rows]
        self.ticks = list(self._ticks())
        self.idle = [
            IdleTime(
                host=host,
                begin=moment(gap.begin_us),
                end=moment(gap.end_us),
                took=words.span((gap.end_us - gap.begin_us) / 1e6),
                why=gap.why,
            )
            for host, several in gaps.items()
            for gap in several
        ]

    def _legend(self) -> Iterator[tuple[str, str, str]]:
        """Yield colour, shape and word of what bars are coloured by."""
        if self._by_step:
            for (pipeline, step), colour in self._colours.items():
                yield colour, "■", f"{pipeline} {step}"
            return
        states = {bar.state for row in self._seen.rows for bar in row.bars}
        for state in sorted(states):
            yield words.look_of(state)

    def _lane(self, row: "Row", gaps: "Sequence[Gap]") -> Lane:
        if self._seen.form == "attempts":
            return self._of_bars(row, gaps)
        return self._of_bins(row)

    def _of_bars(self, row: "Row", gaps: "Sequence[Gap]") -> Lane:
        lanes = list(in_lanes(row.bars, self._seen.now_us))
        n = max((lane for lane, _ in lanes), default=0) + 1
        high = 14 if n <= 8 else 8 if n <= 24 else 5
        marks = [
            Mark(
                **self._place(gap.begin_us, gap.end_us),
                y=0,
                height=n * (high + 2),
                look=f"gap {gap.kind}",
                title=f"{words.span((gap.end_us - gap.begin_us) / 1e6)}: {gap.why}",
                is_gap=True,
            )
            for gap in gaps
        ]
        busy_us, done, failed = 0, 0, 0
        for lane, bar in lanes:
            end_us = self._seen.now_us if bar.end_us is None else bar.end_us
            busy_us += max(
                min(end_us, self._seen.end_us) - max(bar.begin_us, self._seen.begin_us), 0
            )
            look = words.look_of(bar.state)
            done += look.colour == "done"
            failed += look.colour == "failed"
            marks.append(
                Mark(
                    **self._place(bar.begin_us, end_us),
                    y=lane * (high + 2),
                    height=high,
                    look=self._colours[bar.pipeline, bar.step] if self._by_step else look.colour,
                    title=f"{bar.item}, {bar.step}: {look.word}, "
                    f"{words.span((end_us - bar.begin_us) / 1e6)}",
                    item=bar.item,
                    pipeline=bar.pipeline,
                )
            )
        slots = max((one.slots for one in row.workers), default=0)
        of = f" of {words.plural(slots, 'slot')}" if slots else ""
        return Lane(
            name=row.name,
            height=n * (high + 2),
            marks=marks,
            said=f"{busy_us / self._span:.1f} at once{of} on average",
            done=done,
            failed=failed,
            at_once=busy_us / self._span,
        )

    def _of_bins(self, row: "Row") -> Lane:
        width_us = self._seen.width_us
        most = max((one.busy_us for one in row.bins), default=0) or 1
        marks = []
        for one in row.bins:
            place = self._place(one.at_us, one.at_us + width_us)
            high = max(round(_BIN_HEIGHT * one.busy_us / most, 1), 0.5)
            title = self._said(one)
            marks.append(Mark(**place, y=_BIN_HEIGHT - high, height=high, look="busy", title=title))
            if one.failed:
                marks.append(Mark(**place, y=0, height=_FAILED_HEIGHT, look="failed", title=""))
        busy_us = sum(one.busy_us for one in row.bins)
        return Lane(
            name=row.name,
            height=_BIN_HEIGHT,
            marks=marks,
            said=f"{busy_us / self._span:.1f} at once on average, {most / width_us:.1f} at most",
            done=sum(one.done for one in row.bins),
            failed=sum(one.failed for one in row.bins),
            at_once=busy_us / self._span,
        )

    def _said(self, one: "Bin") -> str:
        at = moment(one.at_us)
        failed = f", {one.failed:,} failed" if one.failed else ""
        return (
            f"{at:%Y-%m-%d %H:%M:%S} UTC, {words.span(self._seen.width_us / 1e6)}: "
            f"{one.busy_us / self._seen.width_us:.1f} at once, {one.done:,} done{failed}"
        )

    def _place(self, begin_us: int, end_us: int) -> _Place:
        """Return where a time is drawn, as far as it is in the window."""
        low = max(100 * (begin_us - self._seen.begin_us) / self._span, 0.0)
        high = min(100 * (end_us - self._seen.begin_us) / self._span, 100.0)
        low = min(low, 100.0 - _LEAST)
        return {"x": f"{low:.3f}%", "width": f"{max(high - low, _LEAST):.3f}%"}

    def _ticks(self) -> Iterator[Tick]:
        """Yield even moments of the window; the part before the first belongs to the axis too."""
        begin_us, end_us = self._seen.begin_us, self._seen.end_us
        width_us = width_for(begin_us, end_us, TICKS)
        at_us = begin_us - begin_us % width_us
        while at_us < end_us:
            low, high = max(at_us, begin_us), min(at_us + width_us, end_us)
            yield Tick(
                **self._place(low, high),
                label=_label(at_us, width_us) if at_us >= begin_us else "",
                begin=moment(at_us),
                end=moment(at_us + width_us),
            )
            at_us += width_us


def in_lanes(bars: "Sequence[Bar]", now_us: int) -> Iterator[tuple[int, "Bar"]]:
    """Yield each attempt with its lane: the lowest in which nothing else runs then."""
    ends: list[int] = []
    for bar in sorted(bars, key=lambda bar: (bar.begin_us, bar.id)):
        end_us = now_us if bar.end_us is None else bar.end_us
        lane = next((at for at, free_us in enumerate(ends) if free_us <= bar.begin_us), None)
        if lane is None:
            if len(ends) < LANES:
                ends.append(end_us)
                lane = len(ends) - 1
            else:
                lane = LANES - 1
        ends[lane] = max(ends[lane], end_us)
        yield lane, bar


def _label(at_us: int, width_us: int) -> str:
    """Return a moment as the axis says it: the day where it begins, else the time."""
    at = datetime.fromtimestamp(at_us / 1e6, tz=UTC)
    if width_us >= 28 * _DAY_US:
        return f"{at:%b %Y}"
    if width_us >= _DAY_US or at_us % _DAY_US == 0:
        return f"{at.day} {at:%b}"
    return f"{at:%H:%M}" if width_us >= 60_000_000 else f"{at:%H:%M:%S}"
