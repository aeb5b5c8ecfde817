"""How things look: JSON for programs, columns and plain words for people.

Data goes to standard output through `data`, `json_line` and `Columns`; everything else goes to
standard error through `say`. Nothing that came from outside can move the cursor: control characters
are shown as escapes.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from stoker.cli.short_keys import shorten
from stoker.model import words
from stoker.model.encoding import as_text

visible, visible_lines = words.visible, words.visible_lines
_UNITS = ("B", "K", "M", "G", "T", "P")
_OF_KEYS = ("item", "key")  # titles of columns of keys
_LAST = 24  # columns that long keys leave to the last column
_INDENT = "    "  # of a last column that has a line of its own
_COMBINING = "\u0300"  # the first character that takes no column of its own; all before it take one
COLOURS = {
    "done": "green",
    "succeeded": "green",
    "running": "cyan",
    "failed": "red",
    "timed_out": "red",
    "out_of_memory": "red",
    "quarantined": "red",
    "lost": "magenta",
    "held": "yellow",
    "blocked": "bright_black",
    "waiting": "bright_black",
    "skipped": "bright_black",
    "cancelled": "bright_black",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
}


def say(message: str) -> None:
    """Tell a person something, on standard error."""
    click.echo(visible_lines(message), err=True)


def shortened(text: str) -> str:
    """Return `text` on one line, cut at the edge where standard error is a terminal."""
    line = visible(text)
    if not sys.stderr.isatty():
        return line
    room = os.get_terminal_size(2).columns
    return line if cell_width(line) <= room else line[: max(room - 1, 20)] + "…"


def data(text: str = "") -> None:
    """Print a line of what was asked for."""
    click.echo(text)


def json_line(value: Any) -> None:
    """Print one value as one line of JSON, as `stoker.model.encoding` writes it."""
    sys.stdout.write(as_text(value) + "\n")


def human_bytes(size: int | None) -> str:
    """Return a size as `12.3M`; `-` for none."""
    if size is None:
        return "-"
    value = float(size)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            return f"{int(value)}{unit}" if unit == "B" or value >= 100 else f"{value:.1f}{unit}"
        value /= 1024
    return "-"


def human_seconds(seconds: float | None) -> str:  # noqa: PLR0911 - one for each scale
    """Return a duration as `2h05m`, `3m20s`, `1.4s` or `9ms`; `-` for none."""
    if seconds is None:
        return "-"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h{minutes:02}m"
    return f"{hours // 24}d{hours % 24:02}h"


def human_eta(eta_s: float, interval_s: tuple[float, float] | None) -> str:
    """Return `about 12m00s to go (9m30s to 16m20s)`, without the bracket where the ends look alike."""
    text = f"about {human_seconds(eta_s)} to go"
    if interval_s is None:
        return text
    low, high = map(human_seconds, interval_s)
    return text if low == high else f"{text} ({low} to {high})"


def last_word(busy: float, worked_s: float, equal_split_s: float | None) -> str:
    """Return how busy the slots were; and what splitting beforehand would have cost, if it had."""
    text = f"slots busy {busy:.0%}"
    if equal_split_s is None or equal_split_s < 1.05 * worked_s or equal_split_s - worked_s < 1:
        return text
    return (
        f"{text}; split by equal count the same work would have taken "
        f"{human_seconds(equal_split_s)} instead of {human_seconds(worked_s)}"
    )


def human_time(at: datetime | None) -> str:
    """Return a moment in this place's time, to the second; `-` for none."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at is not None else "-"


def human_count(n: int) -> str:
    """Return a count with thin groups: `1,234,567`."""
    return f"{n:,}"


def plural(n: int, noun: str, several: str | None = None) -> str:
    """Return `1 task`, `2 tasks`, `0 tasks`."""
    return f"{n:,} {noun if n == 1 else several or noun + 's'}"


def counted(counts: Mapping[str, int]) -> str:
    """Return `3 failed, 10 done`, leaving out what is nought."""
    return ", ".join(f"{n:,} {word}" for word, n in counts.items() if n) or "none"


class Columns:
    """Rows of text in columns, printed page by page, so that a listing of millions streams.

    Each page is as wide as it and the pages before it need. On a terminal long keys are shortened in
    the middle where a line has no room for them, and states have colours. The last column is cut at
    the edge, or has a line of its own where hardly any room is left for it. In a pipe nothing is cut.
    """

    def __init__(self, titles: Sequence[str], *, right: Iterable[str] = ()) -> None:
        self._titles = tuple(titles)
        self._keys = next((at for at, title in enumerate(titles) if title in _OF_KEYS), None)
        self._right = {titles.index(name) for name in right}
        self._widths = [len(title) for title in titles]
        self._headed = False
        self._room = os.get_terminal_size(1).columns if sys.stdout.isatty() else None

    def page(self, rows: Iterable[Sequence[str]]) -> None:
        """Print some rows."""
        shown = [[visible(cell) for cell in row] for row in rows]
        if not shown:
            return
        if self._room is not None and self._keys is not None:
            self._shorten_keys(shown, self._keys, self._room)
        self._widths = [
            max(width, *(cell_width(row[at]) for row in shown))
            for at, width in enumerate(self._widths)
        ]
        lines = []
        if not self._headed:
            self._headed = True
            lines.append(click.style(self._line(self._titles), bold=True))
        lines += [self._line(row) for row in shown]
        click.echo("\n".join(lines))

    def _shorten_keys(self, rows: list[list[str]], at: int, room: int) -> None:
        """Shorten the keys in column `at` to what the other columns leave of the line."""
        taken = 0
        for other, known in enumerate(self._widths):
            width = max(known, *(cell_width(row[other]) for row in rows))
            is_cut = other == len(self._widths) - 1 and other not in self._right
            taken += 0 if other == at else 2 + (min(width, _LAST) if is_cut else width)
        if max(cell_width(row[at]) for row in rows) <= room - taken:
            return
        short = shorten((row[at] for row in rows), room - taken)
        for row in rows:
            row[at] = short[row[at]]

    def _line(self, cells: Sequence[str]) -> str:
        parts: list[str] = []
        used = 0
        last = len(cells) - 1
        for at, cell in enumerate(cells):
            width = self._widths[at]
            if at == last and at not in self._right:
                if self._is_crowded(cell, used):
                    return "  ".join(parts).rstrip() + f"\n{_INDENT}{self._cut(cell, len(_INDENT))}"
                text = self._cut(cell, used)
            else:
                gap = " " * (width - cell_width(cell))
                text = gap + cell if at in self._right else cell + gap
            used += width + 2
            colour = COLOURS.get(cell)
            parts.append(click.style(text, fg=colour) if colour else text)
        return "  ".join(parts).rstrip()

    def _is_crowded(self, cell: str, used: int) -> bool:
        """Whether a cell at the end of a line would be cut to almost nothing."""
        left = None if self._room is None else self._room - used
        return left is not None and left < min(cell_width(cell), _LAST)

    def _cut(self, cell: str, used: int) -> str:
        if self._room is None or used + cell_width(cell) <= self._room:
            return cell
        return cell[: max(self._room - used - 1, 8)] + "…"


def cell_width(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    if text.isascii() or max(text) < _COMBINING:  # "·" among others: most tables need no library
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()
) -> None:
    """Print a whole table."""
    Columns(titles, right=right).page(rows)


def in_pages(rows: Iterable[Any], size: int = 500) -> Iterable[list[Any]]:
    """Yield the rows in lists of `size`."""
    page: list[Any] = []
    for row in rows:
        page.append(row)
        if len(page) >= size:
            yield page
            page = []
    if page:
        yield page
