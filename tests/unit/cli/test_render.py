"""How sizes, times, counts and hostile text look."""

import pytest

from stoker.cli import render


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "-"), (0, "0B"), (1023, "1023B"), (1024, "1.0K"), (1536, "1.5K"), (200 * 2**20, "200M"),
     (5 * 2**40, "5.0T")],
)  # fmt: skip
def test_sizes(size, text):
    assert render.human_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0.0s"), (0.0094, "9ms"), (1.44, "1.4s"), (12.4, "12s"), (59.7, "1m00s"),
     (200, "3m20s"), (7500, "2h05m"), (3 * 86400 + 7200, "3d02h")],
)  # fmt: skip
def test_durations(seconds, text):
    assert render.human_seconds(seconds) == text


def test_nothing_from_outside_moves_the_cursor():
    assert render.visible("a\x1b[2Jb\nc\u202ed") == "a\\x1b[2Jb\\nc\\u202ed"
    assert render.visible_lines("a\nb\rc") == "a\nb\\rc"


def test_columns_stream_page_by_page(capsys):
    columns = render.Columns(["name", "n"], right=["n"])
    columns.page([["a", "1"]])
    columns.page([["longer", "10"], ["b", "2"]])
    columns.page([])
    assert capsys.readouterr().out == "name  n\na     1\nlonger  10\nb        2\n"


@pytest.mark.parametrize(
    ("room", "out"),
    [(80, "item  reason\na     exit code 1: gzip: no such file\nb\n"),
     (30, "item  reason\na     exit code 1: gzip: no s…\nb\n"),
     (28, "item  reason\na\n    exit code 1: gzip: no s…\nb\n"),
     (20, "item  reason\na\n    exit code 1: gz…\nb\n")],
)  # fmt: skip
def test_a_last_column_that_has_hardly_any_room_is_below_its_row(capsys, monkeypatch, room, out):
    columns = render.Columns(["item", "reason"])
    monkeypatch.setattr(columns, "_room", room)
    columns.page([["a", "exit code 1: gzip: no such file"], ["b", ""]])
    assert capsys.readouterr().out == out


def test_wide_characters_count_as_they_are_shown(capsys):
    render.table(["x", "y"], [["漢字", "1"], ["ab", "2"]])
    assert capsys.readouterr().out == "x     y\n漢字  1\nab    2\n"


def test_counts_read_as_sentences():
    assert render.plural(1, "task") == "1 task"
    assert render.plural(1234, "task") == "1,234 tasks"
    assert render.counted({"failed": 2, "done": 0}) == "2 failed"
    assert render.counted({}) == "none"
