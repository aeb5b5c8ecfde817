"""Lists of names: lines, and names with a NUL after each."""

import io

from stoker.intake import texts


def test_lines_lose_their_ends_and_empty_ones_are_left_out():
    file = io.BytesIO(b"a b\n\nc\r\n\xff\n-d")
    assert list(texts.lines(file)) == ["a b", "c", "\udcff", "-d"]


def test_names_with_nul_keep_everything_else():
    file = io.BytesIO(b"a\nb\0 c \0\0d\r")
    assert list(texts.nul_separated(file)) == ["a\nb", " c ", "d\r"]


def test_names_may_span_blocks():
    names = [f"name-{number}-{'x' * 100}" for number in range(30_000)]
    file = io.BytesIO(b"".join(name.encode() + b"\0" for name in names))
    assert list(texts.nul_separated(file)) == names
