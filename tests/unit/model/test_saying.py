"""Which values of parameters stand: dialogues between people, tables and folders about one item."""

import itertools

import pytest

from stoker.model.saying import NOTHING, Saying, has_content, mark_of, merged

DEFAULT = 1.0


def person(value, default=DEFAULT):
    """`push --set gain=VALUE`."""
    return {"gain": value}, Saying(settings={"gain": default})


def folder(default=DEFAULT):
    """A folder, a list, a bare `push`."""
    return {"gain": default}, NOTHING


def table(value=None, default=DEFAULT):
    """A row with a column `gain`, which is empty for None."""
    values = () if value is None else ("gain",)
    return {"gain": default if value is None else value}, Saying(columns=("gain",), values=values)


def elsewhere(value):
    """A row of a table that has no column `gain`."""
    return {"gain": value}, Saying(columns=("omit",), values=("omit",))


@pytest.mark.parametrize(
    ("words", "stands"),
    [
        ([folder()], DEFAULT),
        ([person(42.0)], 42.0),
        ([person(42.0), folder()], 42.0),
        ([person(42.0), folder(), folder(2.0)], 42.0),
        ([folder(), person(42.0), folder()], 42.0),
        ([person(42.0), person(43.0), folder()], 43.0),
        ([person(42.0), person(DEFAULT), folder(2.0)], DEFAULT),
        ([folder(), folder(2.0)], 2.0),
        ([table(3.0), folder()], 3.0),
        ([table(3.0), table(), folder()], DEFAULT),
        ([table(3.0), person(42.0), table(3.0)], 42.0),
        ([table(3.0), person(42.0), folder(), table(3.0)], 42.0),
        ([table(3.0), person(42.0), table(5.0)], 5.0),
        ([table(3.0), person(42.0), table(5.0), folder()], 5.0),
        ([table(3.0), person(42.0), table()], DEFAULT),
        ([table(3.0), person(42.0), person(43.0), table(3.0)], 43.0),
        ([person(42.0), table(3.0)], 3.0),
        ([person(42.0), table()], 42.0),
        ([person(42.0), elsewhere(DEFAULT)], 42.0),
    ],
)
def test_the_last_to_say_something_new_about_a_parameter_is_believed(words, stands):
    params, said = {}, {}
    for now, saying in words:
        params, said = merged(now, saying, known_params=params, known_said=said)
    assert params == {"gain": stands}


def test_a_parameter_that_is_no_more_is_forgotten():
    params, said = merged({"gain": 2.0}, person(2.0)[1], known_params={}, known_said={})
    assert merged({"omit": 1}, NOTHING, known_params=params, known_said=said) == ({"omit": 1}, {})


def test_a_mark_is_that_of_a_source_that_knows_nothing_of_what_a_person_set():
    params, said = {}, {}
    for now, saying in (person(42.0), folder()):
        params, said = merged(now, saying, known_params=params, known_said=said)
    assert mark_of(params, said) == mark_of({"gain": DEFAULT})
    assert mark_of({}) == ""


MARKS = ["", mark_of({"gain": 1}), mark_of({"gain": 2})]


@pytest.mark.parametrize(("mark", "other"), list(itertools.product(MARKS, MARKS[:1])))
def test_content_is_the_same_whatever_the_parameters(mark, other):
    assert has_content(f"12:345{mark}", f"12:345{other}")
    assert not has_content(f"12:3456{mark}", "12:345")
    assert not has_content(f"1:345{mark}", "12:345")
    assert not has_content(f"12:345:6{mark}", "12:345")


def test_a_mark_is_what_it_is_in_stores_that_are_there():
    """Another one would make every item of every store one with new parameters."""
    assert mark_of({"b": [1, "x"], "a": 1.5}) == ":0621c1c0fbb328dc"
    assert mark_of({"a": 1.5, "b": [1, "x"]}) == ":0621c1c0fbb328dc"
