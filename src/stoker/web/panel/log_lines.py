"""The lines of a log as the page of a log shows them: coloured, folded, each with its place.

A piece of a log is cut where a line begins or ends, so that pages that follow one another show every
line once, and whole where it fits.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stoker.model.words import visible, without_terminal

MOST_LINES = 5_000  # of one page
FOLD = 4_000  # characters of a line that are shown at once; the rest is folded
_COLOUR = re.compile(r"\x1b\[([\d;]{0,100})m")
_PLACES = range(30, 38), range(90, 98)  # the colours of letters, and the bright ones
_LONGEST_CHARACTER = 4  # bytes
_CONTINUES = range(0x80, 0xC0)


class Run(NamedTuple):
    """Some characters that look the same. `look` has the names of their styles; empty for plain."""

    text: str
    look: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line. `at`: its first byte in the log; `more`: what is folded, with `n` characters in all."""

    at: int
    runs: Sequence[Run]
    more: Sequence[Run] = ()
    n: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The lines from byte `start` up to `end`. `rest_at`: where the last line begins if it may go on."""

    lines: Sequence[Line]
    start: int
    end: int
    rest_at: int


def piece_of(content: bytes, start: int, *, from_end: bool, is_first: bool, is_last: bool) -> Piece:
    """Return the lines of `content`, which begins at byte `start` of its log.

    `from_end`: the last lines matter most, so that the beginning is cut where there are too many.
    `is_first` and `is_last`: nothing comes before, or behind; else part of a line is left to the page
    before or behind, unless nothing else is there.
    """
    begin, end, is_part = 0, len(content), False
    if from_end:
        if not is_first:
            begin = _next_line(content)
        for at in _ends_from_behind(content, begin):
            begin = at
    else:
        end = _nth_end(content, MOST_LINES)
        if end == len(content) and not is_last:
            end = content.rfind(b"\n") + 1
            is_part = end == 0
            end = end or _whole_characters(content)
    shown = content[begin:end]
    is_whole = is_part or shown.endswith(b"\n")
    rest = len(shown) if is_whole else shown.rfind(b"\n") + 1
    return Piece(
        lines=list(_lines(shown, start + begin)),
        start=start + begin,
        end=start + end,
        rest_at=start + begin + rest,
    )


def _next_line(content: bytes) -> int:
    """Return where the first whole line begins; of a single line, its first whole character."""
    found = content.find(b"\n") + 1
    if 0 < found < len(content):
        return found
    return next(
        (n for n, byte in enumerate(content[:_LONGEST_CHARACTER]) if byte not in _CONTINUES), 0
    )


def _ends_from_behind(content: bytes, begin: int) -> Iterator[int]:
    """Yield where the last lines begin, if there are more than a page has."""
    if content.count(b"\n", begin) <= MOST_LINES:
        return
    at = len(content)
    for _ in range(MOST_LINES + 1):
        at = content.rfind(b"\n", begin, at)
    yield at + 1


def _nth_end(content: bytes, n: int) -> int:
    """Return where the n-th line has ended; the length of the content if it has fewer."""
    if content.count(b"\n") < n:
        return len(content)
    at = 0
    for _ in range(n):
        at = content.find(b"\n", at) + 1
    return at


def _whole_characters(content: bytes) -> int:
    """Return the length of the content without half a character at its end."""
    for n in range(1, min(_LONGEST_CHARACTER, len(content)) + 1):
        byte = content[-n]
        if byte not in _CONTINUES:
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return len(content) - n if length > n and n < len(content) else len(content)
    return len(content)


def _lines(content: bytes, start: int) -> Iterator[Line]:
    """Yield the lines; of one that was written over and over, such as a bar, its last state."""
    at, look = start, ""
    rows = content.split(b"\n")
    if rows and not rows[-1]:
        rows.pop()
    for raw in rows:
        text = raw.decode("utf-8", "backslashreplace")
        states = [one for one in text.split("\r") if one]
        for state in states[:-1]:
            look = _last_look(state, look)
        runs, look = _runs(states[-1] if states else "", look)
        yield _folded(at, runs)
        at += len(raw) + 1


def _folded(at: int, runs: Sequence[Run]) -> Line:
    n = sum(len(run.text) for run in runs)
    if n <= FOLD:
        return Line(at=at, runs=runs)
    shown: list[Run] = []
    more: list[Run] = []
    left = FOLD
    for text, look in runs:
        if left:
            shown.append(Run(text[:left], look))
        if len(text) > left:
            more.append(Run(text[left:], look))
        left = max(left - len(text), 0)
    return Line(at=at, runs=shown, more=more, n=n)


def _runs(text: str, look: str) -> tuple[list[Run], str]:
    """Return the text in parts that look the same, and how what follows looks."""
    runs: list[Run] = []
    done = 0
    for found in _COLOUR.finditer(text):
        _add(runs, text[done : found.start()], look)
        look, done = _after(found[1], look), found.end()
    _add(runs, text[done:], look)
    return runs, look


def _add(runs: list[Run], text: str, look: str) -> None:
    shown = visible(without_terminal(text).replace("\t", "    "))
    if shown:
        runs.append(Run(shown, look))


def _last_look(text: str, look: str) -> str:
    for found in _COLOUR.finditer(text):
        look = _after(found[1], look)
    return look


def _after(codes: str, look: str) -> str:
    """Return the look after these codes of a terminal: letters may be bold, and of 16 colours."""
    names = look.split()
    numbers = [int(one) if one else 0 for one in codes.split(";") if len(one) < 4]
    if numbers[:1] in ([38], [48]):  # one of 256 colours, or of 16 million: it stays as it is
        return look
    for number in numbers:
        if number == 0:
            names = []
        elif number == 1:
            names = [*(one for one in names if one != "bold"), "bold"]
        elif number == 22:
            names = [one for one in names if one != "bold"]
        elif number == 39 or any(number in place for place in _PLACES):
            names = [one for one in names if not one.startswith("c")]
            if number != 39:
                names.append(f"c{number % 10}" if number < 90 else f"c{number % 10} bright")
    return " ".join(dict.fromkeys(names))
