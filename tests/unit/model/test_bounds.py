"""Numbers that people give, at their bounds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.errors import UserError
from stoker.model import bounds
from stoker.model.bounds import PRIORITY, Bounds
from stoker.model.rank import MOST_MS, order_key, priority_of, rank_of
from stoker.model.retention import Retention

ALL = {name: one for name, one in vars(bounds).items() if isinstance(one, Bounds)}


@pytest.mark.parametrize("name", ALL)
def test_both_ends_are_allowed_and_nothing_beyond(name):
    one = ALL[name]
    beyond = 1 if one.is_whole else one.least or 0.5
    for good in (one.least, one.most):
        one.check("it", good)
    for bad in (one.least - beyond, one.most + beyond, math.nan, math.inf, True, "1", None):
        with pytest.raises(UserError, match=f"`it` is .* and must be .*{one.most:,}"):
            one.check("it", bad)


_EDGES = st.sampled_from([PRIORITY.least, PRIORITY.least + 1, -1, 0, 1, PRIORITY.most])
_RANKS_S = st.sampled_from([0.0, 0.001, MOST_MS / 1000, 1e300]) | st.floats(0, 1e9)


@given(_EDGES, _RANKS_S, _EDGES, _RANKS_S)
def test_order_keys_go_by_priority_then_rank_up_to_the_bounds(high, rank_s, low, other_s):
    key, other = order_key(high, rank_s), order_key(low, other_s)
    assert abs(key) < 1 << 62
    assert priority_of(key) == high == priority_of(round(float(key)))
    assert rank_of(key) == min(round(rank_s * 1000), MOST_MS) / 1000
    if high > low:
        assert key < other


@pytest.mark.parametrize("age", [-1, math.nan, math.inf, 1e18])
def test_nothing_is_forgotten_by_an_age_that_is_none(age):
    for what in ({"items": {"done": age}}, {"logs": {"failed": age}}, {"journal": age}):
        with pytest.raises(UserError, match="must be a number between 0 and 3,153,600,000"):
            Retention(**what)
