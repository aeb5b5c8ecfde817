"""The lines of a log as a page shows them, and pages that follow one another."""

import random

import pytest

from stoker.web.panel.log_lines import FOLD, MOST_LINES, piece_of
from stoker.web.panel.log_search import MOST_HITS, search


def texts(piece):
    return ["".join(run.text for run in (*line.runs, *line.more)) for line in piece.lines]


def whole(content):
    return piece_of(content, 0, from_end=False, is_first=True, is_last=True)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n\n", ["", ""]),
        (b"one\r\ntwo", ["one", "two"]),
        (b" 1%\r 50%\r100%\r\ndone", ["100%", "done"]),
        (b"nul \0 bell \x07 \xff\xfe", ["nul \\x00 bell \\x07 \\xff\\xfe"]),
        ("\u202eright to left".encode(), ["\\u202eright to left"]),
        (b"\x1b[2J\x1b[Hmoved\x1b]0;title\x07", ["moved"]),
    ],
)
def test_lines_are_what_a_person_would_read(content, lines):
    assert texts(whole(content)) == lines


def test_colours_become_names_and_last_until_they_are_reset():
    content = (
        b"a\x1b[1;31mred\x1b[22m thin\nstill\x1b[0m plain\x1b[38;5;9mx\x1b[92m\rgreen\x1b[9999m"
    )
    first, second = whole(content).lines
    assert list(first.runs) == [("a", ""), ("red", "bold c1"), (" thin", "c1")]
    assert list(second.runs) == [("green", "c2 bright")]


def test_a_long_line_is_folded_and_not_cut():
    (line,) = whole(b"\x1b[31m" + b"x" * 9_000).lines
    assert sum(len(run.text) for run in line.runs) == FOLD
    assert sum(len(run.text) for run in (*line.runs, *line.more)) == line.n == 9_000
    assert {run.look for run in line.more} == {"c1"}


def log(seed):
    chance = random.Random(seed)
    words = ["", "a", "\u20ac" * 40, "x" * 300, "\x1b[31mred", "\r" * 5, "\n" * 30]
    return "\n".join(chance.choice(words) for _ in range(400)).encode() + b"\xff" * 500


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [7, 64, 1000])
def test_pages_in_both_directions_have_every_byte_once(seed, size):
    content = log(seed)
    at, forward = 0, []
    while at < len(content):
        some = content[at : at + size]
        is_last = at + size >= len(content)
        piece = piece_of(some, at, from_end=False, is_first=True, is_last=is_last)
        assert piece.start == at
        assert piece.end > at
        forward.append(content[piece.start : piece.end])
        at = piece.end
    assert b"".join(forward) == content
    end, backward = len(content), []
    while end:
        start = max(end - size, 0)
        piece = piece_of(
            content[start:end], start, from_end=True, is_first=start == 0, is_last=True
        )
        assert piece.end == end
        assert piece.start < end
        backward.append(content[piece.start : piece.end])
        end = piece.start
    assert b"".join(reversed(backward)) == content


def test_a_page_has_a_bounded_number_of_lines():
    content = b"\n" * 3 * MOST_LINES
    piece = whole(content)
    assert (len(piece.lines), piece.end) == (MOST_LINES, MOST_LINES)
    last = piece_of(content, 100, from_end=True, is_first=False, is_last=True)
    assert len(last.lines) == MOST_LINES
    assert last.end == 100 + len(content)
    assert last.start == last.end - MOST_LINES


def test_where_the_last_line_begins_that_may_go_on():
    def rest(content, **more):
        values = {"from_end": False, "is_first": True, "is_last": True, **more}
        return piece_of(content, 10, **values).rest_at

    assert rest(b"one\ntwo") == 14
    assert rest(b"one\ntwo\n") == 18
    assert rest(b"one") == 10
    assert rest(b"one", is_last=False) == 13, "a line longer than a page goes on behind it"


# ------------------------------------------------------------------------------------- searching


def found(content, text, start=0, **more):
    return search(lambda at, most: content[at : at + most], text, start, **more)


def shown(line):
    return "".join(run.text for run in line.runs)


def test_a_search_finds_each_line_once_across_chunks_and_in_any_case(monkeypatch):
    monkeypatch.setattr("stoker.web.panel.log_search.CHUNK", 10)
    content = b"nothing\nan Error and an error\nabcdefERROR\n\nerro\nr\nlast error"
    hits = found(content, "eRRor")
    assert [shown(line) for line in hits.lines] == [
        "an Error and an error",
        "abcdefERROR",
        "last error",
    ]
    assert [line.at for line in hits.lines] == [8, 30, content.index(b"last")]
    assert (hits.is_all, hits.end) == (True, len(content))


def test_a_search_of_a_huge_line_shows_the_surroundings():
    content = "\u20ac".encode() * 1_000_000 + b"needle" + b"y" * 3_000_000
    (line,) = found(content, "needle").lines
    assert "needle" in shown(line)
    assert len(shown(line)) < 1_200
    assert "\\x" not in shown(line)


def test_a_search_ends_with_its_time_or_its_hits_and_goes_on_there(monkeypatch):
    content = b"x needle\n" * 1_000
    hits = found(content, "needle")
    assert (len(hits.lines), hits.is_all) == (MOST_HITS, False)
    seen, at = len(hits.lines), hits.end
    while not hits.is_all:
        hits = found(content, "needle", at)
        seen, at = seen + len(hits.lines), hits.end
    assert seen == 1_000
    monkeypatch.setattr("stoker.web.panel.log_search.CHUNK", 100)
    seen, at, looks = 0, 0, 0
    while looks == 0 or not hits.is_all:
        hits = found(content, "needle", at, limit_s=-1)
        seen, at, looks = seen + len(hits.lines), hits.end, looks + 1
    assert seen == 1_000
    assert looks > 50
