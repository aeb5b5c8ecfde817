"""Searching a log of any size: a part of it at a time, read in chunks, with a limit of time and of hits."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from stoker.web.panel.log_lines import Line, piece_of

MOST_HITS = 200
LIMIT_S = 1.0  # then the page shows what was found so far, and where to go on
CHUNK = 1 << 20
LONGEST = 200  # characters that can be searched for
BEFORE, AFTER = 200, 800  # bytes around a hit that are shown of a long line

Reader = Callable[[int, int], bytes]


@dataclass(slots=True)
class Found:
    """The lines with the text, from byte `start` up to `end`. `is_all`: the rest has been searched too."""

    start: int
    end: int
    is_all: bool = False
    lines: list[Line] = field(default_factory=list)


def search(read: Reader, text: str, start: int, *, limit_s: float = LIMIT_S) -> Found:
    """Return the lines that contain the text, in capitals or not (of ASCII), from byte `start` on.

    `read` returns bytes from a place on, and none at the end. Memory does not grow with the log, nor
    with the length of a line: of a long one, the surroundings of its first hit are shown.
    """
    wanted = text.encode("utf-8", "surrogateescape").lower()
    found, end_s = Found(start, start), time.monotonic() + limit_s
    at, done = start, start  # the next byte to read; hits before `done` are of a line that is shown
    kept = b""  # the end of the last chunk: a hit may begin there
    while True:
        fresh = read(at, CHUNK)
        chunk = kept + fresh
        base = at - len(kept)
        folded = chunk.lower()
        place = folded.find(wanted, max(done - base, 0))
        while place >= 0:
            line, done = _line_at(read, base + place)
            found.lines.append(line)
            if len(found.lines) >= MOST_HITS:
                found.end = done
                return found
            place = folded.find(wanted, max(done - base, 0))
        at += len(fresh)
        found.end = max(at, done)
        if len(fresh) < CHUNK:
            found.is_all = True
            return found
        kept = chunk[-(len(wanted) - 1) :] if len(wanted) > 1 else b""
        if time.monotonic() > end_s:
            found.end = max(at - len(kept), done)
            return found


def _line_at(read: Reader, at: int) -> tuple[Line, int]:
    """Return the line around this byte, and the byte behind what is shown of it."""
    begin = max(at - BEFORE, 0)
    content = read(begin, BEFORE + AFTER)
    here = at - begin
    first = content.rfind(b"\n", 0, here) + 1
    last = content.find(b"\n", here)
    last = len(content) if last < 0 else last
    shown = content[first:last]
    is_first = begin == 0 or first > 0
    piece = piece_of(shown, begin + first, from_end=True, is_first=is_first, is_last=True)
    line = piece.lines[-1] if piece.lines else Line(at=at, runs=())  # it was cut off meanwhile
    return line, max(begin + last, at + 1)
