"""What people read has no byte that a database or a terminal refuses."""

import pytest

from stoker.model.selection import Selection
from stoker.model.words import shown
from stoker.store.actor import Actor


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("größer ≥ 3", "größer ≥ 3"),
        ("a\udcffb", r"a\xffb"),
        ("é\udce9", r"é\xe9"),
        ("half \ud83d", r"half \ud83d"),
        ("nul\0", r"nul\x00"),
        ("é\0", r"é\x00"),
        ("", ""),
    ],
)
def test_words_can_be_stored_and_printed(text, expected):
    assert shown(text) == expected
    assert shown(expected) == expected
    assert Actor("me", text) == Actor("me", expected)


def test_a_selection_looks_for_words_as_they_are_kept():
    assert Selection(match="\udcff", by="\udcff", cause="\udcff") == Selection(
        match=r"\xff", by=r"\xff", cause=r"\xff"
    )
