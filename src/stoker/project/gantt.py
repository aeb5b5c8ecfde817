"""A plan as a chart: an SVG file that needs nothing else."""

from collections.abc import Sequence
from html import escape

from stoker.project.planned import PlannedTask

ROWS = 48  # slots drawn; of more, some evenly chosen
BARS = 4_000  # with more, neighbours of one step become one bar
_WIDTH, _LEFT, _TOP, _ROW = 960, 120, 58, 14
_COLOURS = ("#4878a8", "#d08a3c", "#5f9e6e", "#b55d60", "#857aab", "#8d7866", "#c990b8", "#7f7f7f")
_TICKS_S = (
    *(0.001, 0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600),
    *(7200, 14400, 21600, 43200, 86400, 172800, 604800, 2592000, 31536000),
)


def draw(order: Sequence[PlannedTask], heading: str) -> str:
    """Return the chart of these tasks."""
    rows = sorted({(one.host, one.slot) for one in order}, key=_by_number)
    every = -(-len(rows) // ROWS) or 1
    shown = {row: at for at, row in enumerate(rows[::every])}
    end_s = max((one.end_s for one in order), default=0.0) or 1.0
    scale = (_WIDTH - _LEFT - 20) / end_s
    height = _TOP + len(shown) * _ROW + 30
    steps = list(dict.fromkeys(f"{one.pipeline}.{one.step}" for one in order))
    colours = {step: _COLOURS[at % len(_COLOURS)] for at, step in enumerate(steps)}
    root = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="11">'
    )
    parts = [
        root,
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        _text(10, 18, _title(heading, len(rows), len(shown)), size=13),
        *_legend(colours),
        *_axis(end_s, scale, _TOP, _TOP + len(shown) * _ROW),
    ]
    for row, at in shown.items():
        label = f"{row[0]} #{row[1] + 1}"
        parts.append(_text(_LEFT - 6, _TOP + at * _ROW + 10, _cut(label), anchor="end"))
    tasks = [one for one in order if (one.host, one.slot) in shown]
    for one, to_s, n in _merged(tasks, 0.5 / scale if len(tasks) > BARS else -1.0):
        y = _TOP + shown[one.host, one.slot] * _ROW + 1
        width = max((to_s - one.start_s) * scale, 0.3)
        name = f"{one.item}, {one.step}" if n == 1 else f"{n} tasks, {one.step}"
        parts.append(
            f'<rect x="{_LEFT + one.start_s * scale:.1f}" y="{y}" width="{width:.1f}" '
            f'height="{_ROW - 2}" fill="{colours[f"{one.pipeline}.{one.step}"]}" stroke="white" '
            f'stroke-width="0.4"><title>{_clean(name)}: {one.start_s:g} s to {to_s:g} s</title></rect>'
        )
    return "\n".join([*parts, "</svg>\n"])


def in_words(seconds: float) -> str:
    """Return a moment on the axis."""
    for unit, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:g} {word}"
    return f"{seconds:g} s"


def _title(heading: str, rows: int, shown: int) -> str:
    return heading if rows == shown else f"{heading} ({shown} of {rows:,} used slots drawn)"


def _legend(colours: dict[str, str]) -> list[str]:
    parts, x = [], 10
    for step, colour in colours.items():
        if x > _WIDTH - 160:
            break
        parts.append(f'<rect x="{x}" y="27" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(x + 14, 36, _cut(step, 24)))
        x += 30 + 7 * min(len(step), 24)
    return parts


def _axis(end_s: float, scale: float, top: int, bottom: int) -> list[str]:
    step_s = next((tick for tick in _TICKS_S if tick * scale >= 70), end_s)
    parts = []
    for n in range(int(end_s / step_s) + 1):
        x = _LEFT + n * step_s * scale
        parts.append(f'<path d="M{x:.1f} {top}V{bottom + 4}" stroke="#ddd" fill="none"/>')
        parts.append(_text(x, bottom + 18, in_words(round(n * step_s, 6)), anchor="middle"))
    return parts


def _merged(tasks: list[PlannedTask], gap_s: float) -> list[tuple[PlannedTask, float, int]]:
    """Return tasks with where their bars end and how many they stand for.

    Neighbours of one step, no further apart than the gap, are one bar.
    """
    found: list[tuple[PlannedTask, float, int]] = []
    last: dict[tuple[str, int], int] = {}
    for one in tasks:
        row = (one.host, one.slot)
        before = found[last[row]] if row in last else None
        is_same = before is not None and before[0].step == one.step
        if before is not None and is_same and one.start_s - before[1] <= gap_s:
            found[last[row]] = (before[0], one.end_s, before[2] + 1)
        else:
            last[row] = len(found)
            found.append((one, one.end_s, 1))
    return found


def _by_number(row: tuple[str, int]) -> tuple[str, int, int]:
    host, slot = row
    stem = host.rstrip("0123456789")
    digits = host[len(stem) :]
    return stem, int(digits) if digits else -1, slot


def _cut(text: str, most: int = 18) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _clean(text: str) -> str:
    """Return text that XML can hold."""
    return escape("".join(c if c.isprintable() else "\ufffd" for c in text))


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-size="{size}">{_clean(text)}</text>'
    )
