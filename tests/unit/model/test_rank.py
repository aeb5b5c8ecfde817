"""The order of tasks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.model.curve import Curve
from stoker.model.rank import (
    KNOTS,
    order_key,
    priority_of,
    probing,
    rank_curves,
    rank_of,
    upward_ranks,
)


@st.composite
def graphs(draw):
    """A graph without cycles: edges lead from lower to higher numbers only."""
    n = draw(st.integers(1, 8))
    return {
        at: draw(st.lists(st.integers(at + 1, n - 1), unique=True)) if at + 1 < n else []
        for at in range(n)
    }


curves = st.builds(
    lambda rows, without: Curve((0, *sorted(dict(rows))), (1.0, *dict(rows).values()), without),
    st.lists(st.tuples(st.integers(1, 10**10), st.floats(0, 1e5)), max_size=6),
    st.floats(0, 1e5),
)


def test_the_rank_is_the_longest_way_to_the_end():
    after = {"read": ["sort", "plot"], "sort": ["merge"], "plot": ["merge"], "merge": []}
    found = upward_ranks(after, {"read": 1.0, "sort": 10.0, "plot": 2.0, "merge": 3.0})
    assert found == {"read": 14.0, "sort": 13.0, "plot": 5.0, "merge": 3.0}


@settings(max_examples=60, deadline=None)
@given(graphs(), st.data(), st.none() | st.integers(0, 10**11))
def test_ranks_fall_along_every_edge_at_every_size(after, data, size):
    own = {step: data.draw(curves) for step in after}
    ranks = rank_curves(after, own)
    for step, followers in after.items():
        assert len(ranks[step].sizes) <= KNOTS
        for one in followers:
            assert ranks[step].at(size) >= ranks[one].at(size) * (1 - 1e-9) - 1e-6


def test_no_step_beyond_the_largest_known_item_overtakes_its_predecessor():
    after = {"filter": ["count", "fit"], "count": [], "fit": []}
    own = {
        "filter": Curve((0, 100), (50.0, 10.0), 10.0),
        "count": Curve((0, 100), (60.0, 60.0), 60.0),
        "fit": Curve((0, 100), (0.0, 20.0), 20.0),
    }
    ranks = rank_curves(after, own)
    assert ranks["filter"].at(100) == 70.0
    assert ranks["filter"].at(1_000) >= ranks["fit"].at(1_000) == 200.0


def test_steps_never_seen_are_tried_at_once_the_deepest_first():
    after = {"a": ["b"], "b": ["c"], "c": []}
    ranks = rank_curves(after, dict.fromkeys(after, Curve((0,), (60.0,), 60.0)))
    tried = probing(ranks, after, {"a", "b", "c"})
    assert tried["c"].at(5) > tried["b"].at(5) > tried["a"].at(5) == ranks["a"].at(5)
    assert probing(ranks, after, set()) == ranks


@settings(max_examples=60, deadline=None)
@given(st.integers(-1000, 1000), st.integers(-1000, 1000), st.floats(0, 5e8), st.floats(0, 5e8))
def test_priority_comes_first_then_the_longer_rank(one, other, long, short):
    if one > other:
        assert order_key(one, short) < order_key(other, long)
    if one == other and long > short + 0.001:
        assert order_key(one, long) < order_key(other, short)
    assert priority_of(order_key(one, long)) == one
    assert rank_of(order_key(one, short)) == pytest.approx(short, abs=0.001)
