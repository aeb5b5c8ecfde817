"""Conditions that go through long lists again and again are refused before they hold anybody up."""

import time

import pytest

from stoker.errors import UserError
from stoker.spec.condition import Condition
from stoker.spec.condition_cost import depth_of


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("params.gain > 1.0 && key.startsWith('a.all(')", 0),
        ("params.a.all(x, x > 0) && params.b.exists(y, y == 1)", 1),
        ("params.a . all (x, params.b.exists(y, y == x))", 2),
        ("params.a.all(x, size(')') > 0 && params.a.all(y, y == '''\"'))''' || x == y))", 2),
        ("params.a.all(x, // a ) in a comment\n params.a.all(y, x == y))", 2),
        (r"params.a.all(x, x == r'\' && params.a.all(y, x == y))", 2),
        ("params.a.all(x, x in params.b)", 2),
        ("params.a.exists(x, size(params.a + params.a) > x)", 2),
        ("params.a.map(x, x * 2).size() > 3", 2),
        ("params.a.map(x, params.a).size() > 3", 3),
        ("params.a.filter(x, x > 0).all(y, y > 1)", 2),
        ("params.a.all(x, params.a.all(y, params.a.all(z, x == z)))", 3),
    ],
)
def test_the_depth_is_that_of_loops_in_loops(text, depth):
    Condition(text)
    assert depth_of(text) == depth


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("params.a.all(x, x >= 0)", 20_000),
        ("params.a.all(x, params.a.exists(y, x == y))", 300),
        ("params.a.map(x, x).size() > 0", 500),
        ("params.a.all(x, params.a.all(y, params.a.all(z, x + y + z >= 0)))", 20),
    ],
)
def test_what_ordinary_lists_need_is_decided(text, n):
    assert Condition(text).holds(params={"a": list(range(n))}, meta={"long": [0] * 9_999})


@pytest.mark.parametrize(
    "text",
    [
        "params.a.all(x, params.a.all(y, x + y >= 0))",
        "params.a.filter(x, x > 0).size() > 0",
        "params.a.map(x, params.a).size() > 0",
        "params.a.all(x, x in params.a)",
    ],
)
def test_what_would_take_minutes_is_refused_at_once(text):
    began_s = time.thread_time()
    with pytest.raises(UserError, match=r"may take 30,\d{3}\^\d steps for `k`"):
        Condition(text).holds(params={"a": list(range(30_000))}, meta={}, key="k")
    assert time.thread_time() - began_s < 1
