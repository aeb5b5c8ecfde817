"""Ranges of keys, and selections that would choose all by mistake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.errors import UserError
from stoker.model.selection import Selection, after_prefix
from stoker.project.verbs.narrowing import select

_EDGES = "a\x7f\x80\ud7ff\ue000\uffff\U00010000\U0010fffe\U0010ffff"
_TEXT = st.text(st.sampled_from(_EDGES) | st.characters(exclude_categories=("Cs",)), max_size=5)


@given(_TEXT, _TEXT, st.booleans())
def test_a_range_ends_after_all_that_begins_with_its_end(prefix, rest, is_below):
    key = prefix + rest if is_below else rest
    after = after_prefix(prefix)
    is_in = key.encode() <= prefix.encode() or key.encode().startswith(prefix.encode())
    assert (after is None or key.encode() < after.encode()) == is_in


@pytest.mark.parametrize(
    ("prefix", "after"),
    [
        ("airs/2004/07", "airs/2004/08"),
        ("a%FF", "a%FG"),
        ("a\U0010ffff", "b"),
        ("\U0010ffff" * 3, None),
        ("\ud7ff", "\ue000"),
        ("", None),
    ],
)
def test_the_text_after_a_prefix(prefix, after):
    assert after_prefix(prefix) == after


@pytest.mark.parametrize("option", ["from_key", "to_key", "match"])
def test_an_empty_bound_is_refused_as_it_would_choose_all(option):
    with pytest.raises(UserError, match=f"`--{option.replace('_', '-')}` is empty"):
        Selection(**{option: ""})


def test_a_bound_is_written_as_keys_are():
    chosen = select((), None, {"from_key": "a\n", "to_key": "b\udcff"})
    assert (chosen.from_key, chosen.to_key) == ("a%0A", "b%FF")
