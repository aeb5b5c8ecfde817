"""A plan as a chart: an SVG file that needs nothing else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from stoker.project.plans.planned import PlannedTask

ROWS = 48  # slots drawn; of more, some evenly chosen
BARS = 4_000  # with more, neighbours of one step become one bar
_WIDTH, _LEFT, _RIGHT, _BUSY = 1200, 150, 24, 64
_COLOURS = (
    "#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#d4a72c", "#9d755d",
)  # fmt: skip
_INK, _GREY, _LINE, _TRACK = "#1f2933", "#6b7785", "#dfe3e8", "#f3f5f7"
_TICKS_S = (
    *(0.001, 0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600),
    *(7200, 14400, 21600, 43200, 86400, 172800, 604800, 2592000, 31536000),
)
_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_THIN = ' stroke-width="0.2"'
_Row = tuple[str, int]  # a host, and one of its slots


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """What the chart says beside its bars.

    `bound_s` and `interval_s` are marked on it where they are given. Where no length `is_known`, the
    axis has no numbers.
    """

    heading: str
    note: str
    bound_s: float | None = None
    interval_s: tuple[float, float] | None = None
    is_known: bool = True


def draw(order: Sequence[PlannedTask], caption: Caption) -> str:
    """Return the chart of these tasks: a row for each slot, and how many slots are busy when."""
    return "\n".join([*_Chart(order, caption).parts(), "</svg>\n"])


class _Chart:
    """Where everything stands: rows from `top` to `bottom`, and below them the busy slots."""

    def __init__(self, order: Sequence[PlannedTask], caption: Caption) -> None:
        self.order, self.caption = order, caption
        used = sorted({(one.host, slot) for one in order for slot in one.slots}, key=_by_number)
        every = -(-len(used) // ROWS) or 1
        self.used = len(used)
        self.rows = {row: at for at, row in enumerate(used[::every])}
        self.high = next(high for n, high in ((8, 26), (24, 18), (ROWS, 13)) if len(self.rows) <= n)
        self.end_s = max((one.end_s for one in order), default=0.0) or 1.0
        late_s = caption.interval_s[1] if caption.interval_s else self.end_s
        self.scale = (_WIDTH - _LEFT - _RIGHT) / max(self.end_s, min(late_s, 1.4 * self.end_s))
        self.steps = list(dict.fromkeys(_step(one) for one in order))
        self.colours = {step: _COLOURS[at % len(_COLOURS)] for at, step in enumerate(self.steps)}
        self.legend = list(_legend(self.colours))
        lines = max((y for _, y, _ in self.legend), default=0) + 1
        self.top = 62 + 20 * lines + 18
        self.bottom = self.top + len(self.rows) * self.high

    def parts(self) -> Iterator[str]:
        """Yield the elements, the lowest first."""
        height = self.bottom + 40 + _BUSY + 40
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            f'width="{_WIDTH}" height="{height}" font-family="{_FONT}" font-size="11" role="img">'
        )
        yield f"<title>{_clean(self.caption.heading)}</title>"
        yield f'<rect width="{_WIDTH}" height="{height}" fill="white"/>'
        yield _text(16, 28, self.caption.heading, size=17, more='font-weight="600"')
        note = self.caption.note
        if len(self.rows) < self.used:
            note += f" · {len(self.rows)} of {self.used:,} used slots drawn"
        yield _text(16, 48, note, colour=_GREY, size=12)
        for x, line, step in self.legend:
            y = 62 + 20 * line
            yield _rect(x, y, 11, 11, self.colours[step], more='rx="2.5"')
            yield _text(x + 16, y + 10, _cut(step, 40))
        yield from self._tracks()
        yield from self._axis()
        yield from self._bars()
        yield from self._busy()
        yield from self._marks()

    def _x(self, at_s: float) -> float:
        return _LEFT + at_s * self.scale

    def _tracks(self) -> Iterator[str]:
        """The rows, by host."""
        for host, rows in groupby(self.rows.items(), key=lambda one: one[0][0]):
            found = list(rows)
            first, last = found[0][1], found[-1][1]
            y = self.top + first * self.high
            middle = y + (last - first + 1) * self.high / 2 + 4
            yield _text(16, middle, _cut(host, 15), more='font-weight="600"')
            for (_, slot), at in found:
                y = self.top + at * self.high
                yield _rect(_LEFT, y + 1, _WIDTH - _LEFT - _RIGHT, self.high - 2, _TRACK)
                middle = y + self.high / 2 + 3
                yield _text(_LEFT - 8, middle, str(slot + 1), anchor="end", colour=_GREY, size=9)
            if first:
                yield _line(16, self.top + first * self.high, _WIDTH - _RIGHT, None, _LINE)

    def _axis(self) -> Iterator[str]:
        room_s = (_WIDTH - _LEFT - _RIGHT) / self.scale
        step_s = next((tick for tick in _TICKS_S if tick * self.scale >= 80), room_s)
        for n in range(int(room_s / step_s + 1e-9) + 1):
            x = self._x(n * step_s)
            yield _line(x, self.top, x, self.bottom + 40 + _BUSY, _LINE)
            if self.caption.is_known:
                label = duration(round(n * step_s, 6)) if n else "now"
                y = self.bottom + 40 + _BUSY + 16
                yield _text(x, y, label, anchor="middle", colour=_GREY)

    def _bars(self) -> Iterator[str]:
        bars = list(_bars(self.order, self.rows))
        labels: list[str] = []
        size = 11 if self.high > 13 else 9
        drop = size * 0.36  # from the middle of a line of text to its foot
        yield '<g stroke="white" stroke-width="0.8">'
        for bar in _merged(bars, 0.5 / self.scale if len(bars) > BARS else -1.0):
            one, first = bar.task, bar.row
            x, width = self._x(one.start_s), max((bar.end_s - one.start_s) * self.scale, 0.4)
            y, high = self.top + first * self.high + 1.5, bar.rows * self.high - 3
            name = one.item if bar.n == 1 else f"{bar.n:,} tasks"
            when = f"{duration(one.start_s)} to {duration(bar.end_s)}"
            took = f" ({duration(bar.end_s - one.start_s)})" if bar.n == 1 else ""
            yield (
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{high:.1f}" '
                f'rx="{min(2.5, width / 3):.1f}" fill="{self.colours[_step(one)]}"'
                f"{'' if width > 4 else _THIN}>"
                f"<title>{_clean(f'{name}, {one.step}: {when}{took}')}</title></rect>"
            )
            room = int((width - 8) / 6.8)
            if bar.n == 1 and room >= min(len(name), 7):
                label = _clean(_cut_left(name, room))
                labels.append(f'<text x="{x + 5:.1f}" y="{y + high / 2 + drop:.1f}">{label}</text>')
        yield f'</g><g fill="white" font-size="{size}" pointer-events="none">'
        yield from labels
        yield "</g>"

    def _busy(self) -> Iterator[str]:
        """How many slots are busy with which step, over the time."""
        base, columns = self.bottom + 34 + _BUSY, 400
        wide_s = self.end_s / columns
        heights = {step: _columns(self.order, step, wide_s, columns) for step in self.steps}
        floor = [0.0] * columns
        for step in self.steps:
            roof = [a + b for a, b in zip(floor, heights[step], strict=True)]
            edge = [*_stairs(roof), *reversed(list(_stairs(floor)))]
            points = " ".join(
                f"{self._x(at * wide_s):.1f},{base - n / self.used * _BUSY:.1f}" for at, n in edge
            )
            yield f'<polygon points="{points}" fill="{self.colours[step]}" fill-opacity="0.85"/>'
            floor = roof
        yield _line(_LEFT, base, _WIDTH - _RIGHT, None, _GREY)
        yield _text(16, base - _BUSY / 2 + 4, "busy slots", more='font-weight="600"')
        for n in (0, self.used):
            y = base - n / self.used * _BUSY + 3
            yield _text(_LEFT - 8, y, f"{n:,}", anchor="end", colour=_GREY, size=9)

    def _marks(self) -> Iterator[str]:
        """The bound, and between which times the end comes in eight of ten cases."""
        foot = self.bottom + 34 + _BUSY
        if self.caption.interval_s:
            low, high = (min(self._x(one), _WIDTH - _RIGHT) for one in self.caption.interval_s)
            yield _rect(low, self.top - 6, high - low, 5, _INK, more='opacity="0.35" rx="2"')
            yield _text(
                min((low + high) / 2, _WIDTH - 110), self.top - 10, "the end, in 8 of 10 cases",
                anchor="middle", colour=_GREY, size=10,
            )  # fmt: skip
        if self.caption.bound_s and self.caption.is_known:
            x = self._x(self.caption.bound_s)
            dashes = 'stroke-dasharray="5 4" stroke-width="1.3"'
            yield _line(x, self.top - 8, x, foot, _INK, more=dashes)
            yield _text(x - 5, self.bottom + 18, "lower bound", anchor="end", size=10)


@dataclass(slots=True)
class _Bar:
    """A task in neighbouring rows, or `n` tasks one behind the other up to `end_s`."""

    task: PlannedTask
    row: int
    rows: int
    end_s: float
    n: int = 1


def _bars(order: Sequence[PlannedTask], rows: dict[_Row, int]) -> Iterator[_Bar]:
    for one in order:
        bar: _Bar | None = None
        for at in sorted(rows[one.host, slot] for slot in one.slots if (one.host, slot) in rows):
            if bar is not None and at == bar.row + bar.rows:
                bar.rows += 1
                continue
            if bar is not None:
                yield bar
            bar = _Bar(one, at, 1, one.end_s)
        if bar is not None:
            yield bar


def _merged(bars: Sequence[_Bar], gap_s: float) -> list[_Bar]:
    """Make one bar of neighbours of one step that are no further apart than the gap."""
    found: list[_Bar] = []
    last: dict[tuple[int, int], _Bar] = {}
    for bar in bars:
        place = (bar.row, bar.rows)
        before = last.get(place)
        is_same = before is not None and _step(before.task) == _step(bar.task)
        if before is not None and is_same and bar.task.start_s - before.end_s <= gap_s:
            before.end_s, before.n = bar.end_s, before.n + 1
        else:
            last[place] = bar
            found.append(bar)
    return found


def _columns(order: Sequence[PlannedTask], step: str, wide_s: float, n: int) -> list[float]:
    """Return for each of `n` stretches of time how many slots are busy with the step, on average."""
    rises = [0.0] * (n + 1)  # of the whole stretches from here on
    found = [0.0] * (n + 1)
    for one in order:
        if _step(one) != step:
            continue
        first, last = (min(int(at_s / wide_s), n - 1) for at_s in (one.start_s, one.end_s))
        slots = len(one.slots)
        if first == last:
            found[first] += slots * (one.end_s - one.start_s) / wide_s
            continue
        found[first] += slots * ((first + 1) - one.start_s / wide_s)
        found[last] += slots * (one.end_s / wide_s - last)
        rises[first + 1] += slots
        rises[last] -= slots
    level = 0.0
    for at in range(n):
        level += rises[at]
        found[at] += level
    return found[:n]


def _stairs(levels: Sequence[float]) -> Iterator[tuple[int, float]]:
    """Yield the corners of a line that is as high as these levels."""
    at = 0
    for level, same in groupby(round(level, 2) for level in levels):
        yield at, level
        at += sum(1 for _ in same)
        yield at, level


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def _legend(colours: dict[str, str]) -> Iterator[tuple[float, int, str]]:
    """Yield where each step stands: from the left, and in which line."""
    x, line = 16.0, 0
    for step in colours:
        wide = 40 + 6.4 * min(len(step), 40)
        if x + wide > _WIDTH - _RIGHT and x > 16:
            x, line = 16.0, line + 1
        yield x, line, step
        x += wide


def _step(one: PlannedTask) -> str:
    return f"{one.pipeline}.{one.step}"


def _by_number(row: _Row) -> tuple[str, int, int]:
    host, slot = row
    stem = host.rstrip("0123456789")
    digits = host[len(stem) :]
    return stem, int(digits) if digits else -1, slot


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _cut_left(text: str, most: int) -> str:
    """Return the end of a text: names of files differ there."""
    return text if len(text) <= most else "…" + text[len(text) - most + 1 :]


def _clean(text: str) -> str:
    """Return text that XML can hold."""
    return escape("".join(c if c.isprintable() else "\ufffd" for c in text))


def _rect(x: float, y: float, width: float, height: float, fill: str, *, more: str = "") -> str:
    size = f'width="{width:.1f}" height="{height:.1f}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{fill}" {more}/>'


def _line(x: float, y: float, to_x: float, to_y: float | None, colour: str, more: str = "") -> str:
    to = f"H{to_x:.1f}" if to_y is None else f"L{to_x:.1f} {to_y:.1f}"
    return f'<path d="M{x:.1f} {y:.1f}{to}" stroke="{colour}" fill="none" {more}/>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 11, colour: str = _INK,
    more: str = "",
) -> str:  # fmt: skip
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{colour}" {more}>{_clean(text)}</text>'
