"""When it will be done."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.model.curve import UNKNOWN
from stoker.model.estimate import Observation, fit
from stoker.model.forecast import Bulk, Open, Step, can_run, forecast, forecast_bulk, interval
from stoker.model.hours import Hours
from stoker.model.load import Needs
from stoker.model.pool import Pool
from stoker.model.simulate import Fleet, Host, fleet_of


def step(n, took_s=10.0):
    chance = random.Random(n)
    found = fit([Observation(None, took_s * chance.lognormvariate(0, 0.3)) for _ in range(n)])
    return {"a": Step(found.expected, found)}


def draw():
    return random.Random(1).random


def test_the_work_over_the_slots_is_about_the_time():
    tasks = [Open("a", None) for _ in range(100)]
    found = forecast(tasks, step(100), Fleet((Host(4),)), draw())[None]
    assert found.eta_s == pytest.approx(260, rel=0.15)
    assert found.low_s < found.eta_s < found.high_s < 2 * found.low_s


def test_less_history_means_a_wider_interval():
    tasks = [Open("a", None) for _ in range(50)]
    widths = []
    for n in (3, 30, 300):
        found = forecast(tasks, step(n), Fleet((Host(4),)), draw())[None]
        widths.append(found.high_s / found.low_s)
    assert widths == sorted(widths, reverse=True)


def test_a_running_attempt_is_nearer_to_its_end():
    fleet = Fleet((Host(1),))
    fresh = forecast([Open("a", None)], step(100), fleet, draw())[None]
    half = forecast([Open("a", None, elapsed_s=6.0)], step(100), fleet, draw())[None]
    late = forecast([Open("a", None, elapsed_s=500.0)], step(100), fleet, draw())[None]
    assert half.eta_s < fresh.eta_s < late.eta_s


def test_groups_have_their_own_ends_and_the_impossible_has_none():
    tasks = [Open("a", None, order=-1.0, group="first"), Open("a", None, group="second")]
    tasks.append(Open("a", None, needs=Needs(99), group="never"))
    found = forecast(tasks, step(50), Fleet((Host(1),)), draw())
    assert set(found) == {"first", "second"}
    assert found["first"].eta_s < found["second"].eta_s


def test_many_are_reckoned_by_their_total():
    fleet = Fleet((Host(4),))
    many = forecast_bulk([Bulk("a", 1000, None)], step(200), fleet, draw())
    single = forecast([Open("a", None)] * 1000, step(200), fleet, draw())[None]
    assert many.eta_s == pytest.approx(single.eta_s, rel=0.1)
    assert forecast_bulk([], {}, fleet, draw()) is None


@pytest.mark.parametrize(
    ("needs", "pools"),
    [
        (Needs(pools=(("ram", 1),)), [Pool(name="ram", slots=("0", "1"))]),
        (Needs(pools=(("ram", 2),)), [Pool(name="ram", slots=("0", "1", "2"))]),
        (Needs(pools=(("gpu", 1),)), [Pool(name="gpu", slots=("0",), is_per_host=True)]),
        (Needs(cpus=3), []),
        (Needs(memory_bytes=6), []),
        (Needs(memory_bytes=9), []),
        (Needs(tags=frozenset({"matlab"})), []),
        (Needs(pools=(("web", 1),)), [Pool(name="web", slots=tuple("abcdefgh"), per_minute=1)]),
        (
            Needs(pools=(("tape", 1),)),
            [Pool(name="tape", slots=tuple("abcd"), hours=Hours(0, 60, "UTC"))],
        ),
    ],
    ids=[
        *("pool", "several_slots", "slots_of_hosts", "cpus", "memory", "much_memory", "tags"),
        *("rate", "hours"),
    ],
)
def test_what_limits_one_limits_many(needs, pools):
    """The total comes to the same as the tasks one by one."""
    there = [Host(4, 1.0, 16, frozenset({"matlab"})), Host(4, 1.0, 16, frozenset())]
    fleet = fleet_of(there, pools, 3600_000_000 * 12)
    many = forecast_bulk([Bulk("a", 500, None, needs)], step(200, 60.0), fleet, draw())
    single = forecast([Open("a", None, needs=needs)] * 500, step(200, 60.0), fleet, draw())[None]
    assert many.eta_s == pytest.approx(single.eta_s, rel=0.1)


def test_what_can_never_run_has_no_end_among_many_either():
    hosts = (Host(4, 1.0, 8, frozenset()),)
    fleet = fleet_of(hosts, [Pool(name="ram", slots=())], 0)
    several = (
        Needs(5),
        Needs(pools=(("ram", 1),)),
        Needs(memory_bytes=9),
        Needs(tags=frozenset("x")),
    )
    for bulk in (Bulk("a", 500, None, needs) for needs in several):
        assert not can_run(bulk, fleet)
        assert forecast_bulk([bulk], step(200), fleet, draw()) is None


def test_a_step_never_seen_leaves_much_open():
    tasks = [Open("b", 10**6) for _ in range(20)]
    found = forecast(tasks, {"b": Step(UNKNOWN)}, Fleet((Host(2),)), draw())[None]
    assert found.high_s > 5 * found.low_s


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1e9), min_size=1))
def test_an_interval_holds_its_middle(ends):
    found = interval(ends)
    assert min(ends) <= found.low_s <= found.eta_s <= found.high_s <= max(ends)


def test_nobody_there_means_no_forecast():
    assert forecast([Open("a", None)], step(10), Fleet(()), draw()) == {}


def test_what_fails_often_and_is_tried_again_takes_longer():
    """Every third attempt fails at its end: a task without retries is over, others begin again."""
    history = [Observation(None, 10.0)] * 20 + [Observation(None, 10.0, has_failed=True)] * 10
    found = fit(history)
    fleet, tasks = Fleet((Host(1),)), [Open("a", None)] * 40
    once, again = (
        forecast(tasks, {"a": Step(found.expected, found, retries)}, fleet, draw())[None]
        for retries in (0, 3)
    )
    share = found.tried_again(3)
    assert share == pytest.approx(1 / 3 + 1 / 9 + 1 / 27, abs=0.05)
    assert again.eta_s == pytest.approx(once.eta_s * (1 + share), rel=0.05)
    assert again.high_s - again.low_s > once.high_s - once.low_s
    bulk = [Bulk("a", 40, None)]
    in_bulk = forecast_bulk(bulk, {"a": Step(found.expected, found, 3)}, fleet, draw())
    assert in_bulk.eta_s == pytest.approx(again.eta_s, rel=0.05)
