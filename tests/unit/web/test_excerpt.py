"""Logs as a page shows them, whatever is in them."""

import pytest

from stoker.web.panel.excerpt import LINE, readable


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b" 1%\r 50%\r100%\r\ndone", ["100%", "done"]),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07plain\x1b(B", ["red plain\\x1b(B"]),
        (b"\x1b[2J\x1b[Hmoved", ["moved"]),
        (b"nul \0 bell \x07 \xff\xfe", ["nul \\x00 bell \\x07 \\xff\\xfe"]),
        ("\u202eright to left".encode(), ["\\u202eright to left"]),
        (b"a\tb", ["a    b"]),
    ],
)
def test_lines_are_what_a_person_would_read(content, lines):
    assert readable(content) == lines


def test_a_line_without_an_end_is_cut():
    (line,) = readable(b"x" * 60_000)
    assert line == "x" * LINE + " … (60,000 characters)"
