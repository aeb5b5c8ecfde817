"""How many tasks a worker claims ahead: by expected time, never by count."""

from hypothesis import given
from hypothesis import strategies as st

from stoker.model.worker import Filling
from stoker.work.prefetch import HORIZON_S, MOST, Appetite


def fed(slots: int = 2, **means: float) -> Appetite:
    appetite = Appetite(slots)
    for step, mean in means.items():
        appetite.note(step, mean)
    return appetite


def test_nothing_known_takes_what_can_start():
    assert Appetite(4).limit(4, 0.0) == 4
    assert Appetite(4).limit(1, 0.0) == 1


def test_short_tasks_are_taken_by_the_batch():
    assert fed(2, s=0.001).limit(0, 0.0) == HORIZON_S * 2 / 0.001


def test_a_claim_is_bounded():
    assert fed(2, s=1e-9).limit(0, 0.0) == MOST


def test_long_tasks_are_never_taken_ahead():
    assert fed(2, s=10.0).limit(0, 0.0) == 0
    assert fed(2, s=10.0).limit(1, 0.0) == 1


def test_nothing_more_while_half_a_horizon_is_at_hand():
    appetite = fed(2, s=0.01)
    assert appetite.limit(0, HORIZON_S * 2 * 0.6) == 0
    assert appetite.limit(0, HORIZON_S * 2 * 0.4) > 0


def wanted(appetite: Appetite, steps: list[str], *, free: int, memory: int | None = None) -> int:
    filling = Filling(appetite.portion(free, 100))
    return next(
        (n for n, step in enumerate(steps) if not filling.wants(1, step, memory)), len(steps)
    )


def test_a_step_that_was_never_seen_is_not_wanted_beyond_what_can_start():
    appetite = Appetite(2)
    appetite.note((1, "quick"), 0.001)
    assert wanted(appetite, ["quick"] * 5 + ["new"] * 5, free=1) == 5
    assert wanted(appetite, ["new"] * 5, free=2) == 2
    assert wanted(appetite, ["quick"] * 100, free=0) == 100


def test_tasks_are_wanted_as_long_as_their_memory_fits_together_and_one_in_any_case():
    appetite = Appetite(8)
    assert wanted(appetite, ["s"] * 8, free=8, memory=30) == 3
    assert wanted(appetite, ["s"] * 8, free=8, memory=300) == 1


@given(
    st.integers(1, 64),
    st.floats(1e-6, 100),
    st.integers(0, 64),
    st.floats(0, 10),
)
def test_what_is_at_hand_never_exceeds_the_horizon_by_more_than_what_can_start(
    slots, mean, free, queued
):
    appetite = fed(slots, s=mean)
    free = min(free, slots)
    limit = appetite.limit(free, queued)
    assert limit <= MOST or limit <= free
    assert limit <= free or queued + limit * mean <= HORIZON_S * slots * 1.001
