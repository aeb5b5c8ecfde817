"""Durations as a function of size: with much history, little, and none that fits."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.model.curve import UNKNOWN, Curve
from stoker.model.estimate import Observation, fit, host_speeds, remaining

MB = 1_000_000
seconds = st.floats(1e-3, 1e6)
sizes = st.none() | st.integers(0, 10**13)


def seen(n, took, *, noise=0.1, seed=1, largest=1_000 * MB):
    chance = random.Random(seed)
    found = []
    for _ in range(n):
        size = chance.randrange(1, largest)
        found.append(Observation(size, took(size) * math.exp(chance.gauss(0, noise))))
    return found


def test_time_that_grows_with_the_size_is_found():
    found = fit(seen(300, lambda size: size / MB))
    for size in (10 * MB, 100 * MB, 1_000 * MB):
        assert found.seconds(size) == pytest.approx(size / MB, rel=0.25)


def test_time_that_does_not_depend_on_the_size_is_found():
    found = fit(seen(300, lambda _: 30.0))
    for size in (10 * MB, 100 * MB, 1_000 * MB):
        assert found.seconds(size) == pytest.approx(30, rel=0.15)


def test_a_start_that_all_pay_is_found():
    found = fit(seen(400, lambda size: 60 + size / (20 * MB)))
    assert found.seconds(50 * MB) == pytest.approx(62, rel=0.25)
    assert found.seconds(1_000 * MB) == pytest.approx(110, rel=0.15)


def largest_first(n, of, took, *, noise=0.3, seed=1):
    """Return the n largest of so many attempts: what has ended when the longest are taken first."""
    chance = random.Random(seed)
    drawn = sorted((round(chance.lognormvariate(17, 1.2)) for _ in range(of)), reverse=True)
    return [Observation(size, took(size) * math.exp(chance.gauss(0, noise))) for size in drawn[:n]]


@pytest.mark.parametrize(
    "took",
    [lambda size: size / MB, lambda size: 16 + size / MB, lambda size: math.sqrt(size / MB)],
    ids=["in proportion", "with a start", "by the root"],
)
def test_the_small_are_foreseen_from_the_large(took):
    off, inside = [], 0
    for seed in range(20):
        found = fit(largest_first(150, 300, took, seed=seed))
        off.append(math.log(found.seconds(3 * MB) / took(3 * MB)))
        inside += abs(off[-1]) < abs(math.log(found.wrong_by(3 * MB, 2.0, 2.0)))
    assert abs(sorted(off)[10]) < 0.6
    assert inside >= 15  # what the fit leaves open holds the truth


def test_errors_below_the_sizes_seen_grow_and_join_without_a_leap():
    found = fit(largest_first(100, 300, lambda size: size / MB))
    edge = math.exp(found.seen[0])
    wrong = [math.log(found.wrong_by(round(edge / by), 0.0, 1.0)) for by in (0.99, 1.01, 3, 9)]
    assert wrong[0] == pytest.approx(wrong[1], abs=0.02)
    assert wrong[3] < wrong[2] < wrong[1] <= 0


def test_one_size_far_below_all_others_does_not_bend_the_curve():
    usual = seen(200, lambda size: size / MB)
    with_empty = fit([*usual, Observation(0, 0.001)])
    for size in (10 * MB, 100 * MB, 1_000 * MB):
        assert with_empty.seconds(size) == pytest.approx(fit(usual).seconds(size), rel=0.2)


@pytest.mark.parametrize("long", [2, 3, 5, 9])
def test_of_two_kinds_one_is_not_the_tail_of_the_other(long):
    chance = random.Random(long)
    found = fit(
        [Observation(None, 2.0 * math.exp(chance.gauss(0, 0.02))) for _ in range(40 - long)]
        + [Observation(None, chance.gauss(60, 5)) for _ in range(long)]
    )
    most = found.seconds(None) * math.exp(found.residual(0.999))
    assert most < 60 * 10


def test_the_length_of_a_tail_is_found():
    chance = random.Random(1)
    found = fit([Observation(None, 2 * chance.paretovariate(1.5)) for _ in range(400)])
    assert found.residuals[-1] - found.residuals[-2] == pytest.approx(1 / 1.5, rel=0.4)
    wide = found.widened(1.0)
    assert wide.residuals[-1] - wide.residuals[-2] > found.residuals[-1] - found.residuals[-2]


def test_three_points_order_the_rest_by_size_and_admit_that_they_are_few():
    few = fit([Observation(MB, 1.0), Observation(10 * MB, 9.0), Observation(30 * MB, 33.0)])
    assert few.seconds(100 * MB) > few.seconds(20 * MB) > few.seconds(MB)
    many = fit(seen(200, lambda size: size / MB))
    assert few.level_error > 3 * many.level_error
    assert few.slope_error > 3 * many.slope_error


def test_one_point_is_enough_to_begin_with():
    found = fit([Observation(10 * MB, 10.0)])
    assert found.seconds(10 * MB) == pytest.approx(10, rel=0.2)
    assert found.seconds(100 * MB) > found.seconds(10 * MB)


@pytest.mark.parametrize("size", [None, 5 * MB, 0])
def test_constant_sizes_and_records_without_size(size):
    chance = random.Random(2)
    found = fit([Observation(size, 20 * math.exp(chance.gauss(0, 0.3))) for _ in range(100)])
    assert found.seconds(size) == pytest.approx(20, rel=0.2)


def test_sizes_that_some_lack_are_kept_apart():
    found = fit(seen(50, lambda size: size / MB) + [Observation(None, 7.0)] * 20)
    assert found.seconds(None) == pytest.approx(7, rel=0.3)


def test_an_outlier_moves_nothing_and_a_tail_is_no_outlier():
    ordinary = [Observation(MB, 10.0 + n / 100) for n in range(40)]
    assert fit([*ordinary, Observation(MB, 1e6)]).seconds(MB) < 13
    tail = ordinary[:36] + [Observation(MB, 1_000.0)] * 4
    assert fit(tail).seconds(MB) == pytest.approx(109, rel=0.1)


def test_older_bodies_count_for_little_once_there_are_others():
    old = [Observation(MB, 1.0, is_current=False)] * 200
    assert fit(old).seconds(MB) == pytest.approx(1, rel=0.1)
    assert fit(old + [Observation(MB, 50.0)] * 8).seconds(MB) > 35


def test_what_was_cut_off_took_at_least_so_long():
    ended = [Observation(MB, 10.0 + n) for n in range(20)]
    short = [Observation(MB, 1.0, is_censored=True)] * 20
    assert fit(ended + short).seconds(MB) == pytest.approx(fit(ended).seconds(MB), rel=0.05)
    long = [Observation(MB, 40.0, is_censored=True)] * 20
    assert fit(ended + long).seconds(MB) > 1.3 * fit(ended).seconds(MB)
    assert fit(short) is None


def test_hosts_are_told_apart_and_average_one():
    runs = [Observation(MB, 10.0, "fast"), Observation(MB, 20.0, "slow")] * 60
    speeds = {}
    for _ in range(5):
        found = fit(runs, speeds)
        speeds = host_speeds([(found, runs)], speeds)
    assert speeds["fast"] / speeds["slow"] == pytest.approx(2, rel=0.1)
    assert math.log(speeds["fast"]) + math.log(speeds["slow"]) == pytest.approx(0, abs=0.05)


def test_what_is_left_shrinks_until_it_outlasts_all_that_is_known():
    found = fit([Observation(MB, 8.0 + n / 10) for n in range(40)])
    expected = found.seconds(MB)
    left = [remaining(found, expected, elapsed, 0.5) for elapsed in (0, 4, 8)]
    assert left == sorted(left, reverse=True)
    assert remaining(found, expected, 100, 0.5) > 10


observations = st.lists(
    st.builds(
        Observation,
        size=sizes,
        seconds=st.floats(0, 1e7),
        host=st.sampled_from("ab"),
        is_current=st.booleans(),
        is_censored=st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(observations, sizes, st.floats(0, 1), st.floats(0, 1))
def test_every_history_gives_finite_numbers_and_ordered_quantiles(history, size, one, other):
    found = fit(history, {"a": 2.0})
    if found is None:
        assert all(row.is_censored or row.has_failed for row in history)
        return
    assert 0 <= found.seconds(size) < math.inf
    low, high = sorted((one, other))
    assert found.residual(low) <= found.residual(high) + 1e-9
    assert 0 < found.level_error < 10
    assert 0 < found.slope_error < 10
    assert 0 < found.wrong_by(size, 1.0, 1.0) < math.inf
    assert 0 <= remaining(found, found.seconds(size), 3.0, low) < math.inf


def test_a_few_that_ended_and_many_that_do_not_make_no_endless_tail():
    """A hundred that have run for minutes, where seven took milliseconds: more is not known."""
    ended = [Observation(None, took_s) for took_s in (0.001, 0.001, 0.002, 0.004, 0.007)]
    running = [Observation(None, 300.0 + n, is_censored=True) for n in range(100)]
    found = fit([*ended, *running])
    assert 300 < found.seconds(None) < 3_000
    assert found.seconds(None) * math.exp(found.residual(0.99)) < 300 * 1_000


@settings(max_examples=60, deadline=None)
@given(st.lists(seconds, min_size=25, max_size=60), st.floats(1e4, 1e9))
def test_one_attempt_whatever_it_took_changes_the_middle_little(history, odd):
    """The typical duration stays within the spread of the others."""
    before = [Observation(MB, one) for one in history]
    found = fit([*before, Observation(MB, odd)])
    typical = found.seconds(MB) * math.exp(found.residual(0.5))
    ordered = sorted(history)
    assert 0.5 * ordered[len(ordered) // 4] <= typical <= 2 * ordered[-len(ordered) // 4]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**12), seconds), min_size=1, max_size=9), sizes)
def test_a_curve_meets_its_knots_and_never_goes_below_nought(points, size):
    knots = dict(points)
    curve = Curve(tuple(sorted(knots)), tuple(knots[one] for one in sorted(knots)), 5.0)
    for knot, took in knots.items():
        assert curve.at(knot) == pytest.approx(took, rel=1e-3, abs=1e-3)
    assert curve.at(size) >= 0
    assert curve.at(None) == 5.0


def test_without_history_the_larger_is_taken_for_the_longer():
    assert UNKNOWN.at(10**9) > UNKNOWN.at(10**6) > 0


def test_where_large_items_scatter_more_their_quantiles_lie_further_apart():
    """Small ones take what is expected, within a tenth; large ones anything."""
    chance = random.Random(7)
    found = fit(
        [
            Observation(size * MB, size**0.5 * math.exp(chance.gauss(0, 0.1 * size**0.4)))
            for size in (round(math.exp(chance.uniform(0, 6))) for _ in range(300))
        ]
    )
    low, high = (
        found.residual(0.9, size * MB) - found.residual(0.1, size * MB) for size in (1, 400)
    )
    assert low == pytest.approx(2.56 * 0.1, rel=0.6)
    assert high == pytest.approx(2.56 * 0.1 * 400**0.4, rel=0.4)
    assert found.share_below(found.residual(0.7, 400 * MB), 400 * MB) == pytest.approx(
        0.7, abs=0.01
    )


def test_where_all_scatter_alike_so_do_the_quantiles():
    found = fit(seen(300, lambda size: size / MB, noise=0.3))
    low, high = (
        found.residual(0.9, size * MB) - found.residual(0.1, size * MB) for size in (10, 900)
    )
    assert high == pytest.approx(low, rel=0.5)


@pytest.mark.parametrize(("seed", "start"), [(seed, start) for seed in (1, 2) for start in (3, 30)])
def test_below_the_sizes_seen_what_all_pay_is_not_given_up(seed, start):
    """Only large items have ended, as the longest go first; the others take little but the start."""
    chance = random.Random(seed)
    found = fit(
        [
            Observation(size, (start + size / MB) * math.exp(chance.gauss(0, 0.05)))
            for size in (round(start * MB * 40 ** chance.uniform(-0.2, 1)) for _ in range(200))
        ]
    )
    small = found.seconds(start * MB // 10)
    assert small == pytest.approx(1.1 * start, rel=0.2)


def test_attempts_that_fail_count_as_such_and_say_nothing_of_the_duration():
    ended = [Observation(MB, 10.0)] * 30
    found = fit([*ended, *[Observation(MB, 5.0, has_failed=True)] * 10])
    assert found.seconds(MB) == pytest.approx(fit(ended).seconds(MB))
    assert found.failing == pytest.approx(0.25, abs=0.02)
    assert found.failed_part == pytest.approx(0.5, abs=0.06)
    assert found.tried_again(0) == 0
    assert found.tried_again(2) == pytest.approx(0.5 * (0.25 + 0.25**2), abs=0.03)
    mended = [
        one._replace(is_current=False) for one in [Observation(MB, 5.0, has_failed=True)] * 10
    ]
    assert fit([*ended, *mended]).failing == 0
