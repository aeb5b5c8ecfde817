"""Lists of names: lines in whichever encoding says so, and names with a NUL after each."""

import io
import itertools

import pytest

from stoker.errors import UserError
from stoker.intake import decoding

NAMES = ["data/a b.dat", "größe.dat", "文/x.dat"]


def names_of(read, content):
    """The names that one of the three ways of reading finds."""
    given = content if read is decoding.numbered_in else io.BytesIO(content)
    return [name for _, name in read(given, name="list")]


WAYS = [decoding.numbered, decoding.numbered_in]


@pytest.mark.parametrize("read", WAYS)
def test_lines_lose_their_ends_and_empty_ones_are_left_out(read):
    content = b"a b\n\nc\r\n\xff\n-d"
    given = content if read is decoding.numbered_in else io.BytesIO(content)
    assert list(read(given, name="list")) == [(1, "a b"), (3, "c"), (4, "\udcff"), (5, "-d")]


@pytest.mark.parametrize(
    ("read", "encoding", "end"),
    list(
        itertools.product(WAYS, ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-mark"], ["\n", "\r\n"])
    ),
)
def test_the_first_bytes_say_how_a_list_is_encoded(read, encoding, end):
    text = "".join(name + end for name in NAMES)
    is_big = encoding == "utf-16-be-mark"
    content = b"\xfe\xff" + text.encode("utf-16-be") if is_big else text.encode(encoding)
    assert names_of(read, content) == NAMES


WRONG = {
    "utf-16 without a mark": "/data/a\n/data/b\n".encode("utf-16-le"),
    "utf-16 without a mark, the other way round": "/data/a\n".encode("utf-16-be"),
    "utf-32": "a\nb\n".encode("utf-32"),
    "half a character": "a\n".encode("utf-16")[:-1],
    "a mark of utf-16 and something else": b"\xff\xfe\x00\xd8a\x00",
    "records with NULs": b"Pen1\0Pen2\0",
    "a single slash": b"/\0a\0",
}


@pytest.mark.parametrize("read", WAYS)
@pytest.mark.parametrize("content", WRONG.values(), ids=list(WRONG))
def test_a_wrong_encoding_is_a_mistake(read, content):
    with pytest.raises(UserError, match="save it as UTF-8"):
        names_of(read, content)


@pytest.mark.parametrize("content", [NAMES[0].encode("utf-16"), "a".encode("utf-32")])
def test_names_with_nul_are_bytes_and_no_text_of_another_encoding(content):
    with pytest.raises(UserError):
        names_of(decoding.nul_separated, content)


def test_a_whole_list_of_paths_may_have_a_nul_after_each():
    assert names_of(decoding.numbered_in, b"./a\nb\0c.dat\0\0d/\xff\0\n") == [
        "./a\nb",
        "c.dat",
        "d/\udcff",
    ]


def test_names_with_nul_keep_everything_else():
    assert names_of(decoding.nul_separated, b"a\nb\0 c \0\0d\r") == ["a\nb", " c ", "d\r"]


def test_names_may_span_blocks():
    names = [f"name-{number}-{'x' * 100}" for number in range(30_000)]
    content = b"".join(name.encode() + b"\0" for name in names)
    assert names_of(decoding.nul_separated, content) == names
