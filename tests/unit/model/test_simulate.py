"""The simulator: what it never does, and what it does quickly."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.model.simulate import Fleet, Host, Load, lower_bound, simulate, split_by_count

hosts = st.lists(st.builds(Host, st.integers(1, 4), st.sampled_from([0.5, 1.0, 2.0])), max_size=4)


@st.composite
def loads(draw):
    found = []
    for at in range(draw(st.integers(0, 25))):
        before = draw(st.lists(st.integers(0, at - 1), max_size=3, unique=True)) if at else []
        found.append(
            Load(
                draw(st.sampled_from([0.0, 0.5, 1.0, 3.0, 10.0])),
                draw(st.sampled_from([-2.0, -1.0, 0.0])),
                draw(st.integers(1, 5)),
                draw(st.sampled_from([(), (("ram", 1),), (("gpu", 2), ("ram", 1))])),
                tuple(before),
            )
        )
    return found


def overlapping(schedule, at, moment):
    return schedule.starts[at] <= moment < schedule.ends[at]


@settings(max_examples=60, deadline=None)
@given(loads(), hosts)
def test_nothing_is_ever_overbooked_and_everything_that_can_runs_after_what_it_needs(tasks, there):
    fleet = Fleet(tuple(there), {"ram": 2, "gpu": 2})
    done = simulate(tasks, fleet)
    for moment in set(done.starts):
        now = [at for at in range(len(tasks)) if overlapping(done, at, moment)]
        for number, host in enumerate(there):
            assert sum(tasks[at].cpus for at in now if done.hosts[at] == number) <= host.slots
        for pool, n in fleet.pools.items():
            assert sum(dict(tasks[at].pools).get(pool, 0) for at in now) <= n
    for at, task in enumerate(tasks):
        can = all(done.hosts[one] >= 0 for one in task.after)
        can = can and any(host.slots >= task.cpus for host in there)
        assert (done.hosts[at] >= 0) == can
        if can:
            assert all(done.ends[one] <= done.starts[at] for one in task.after)
    if done.never == 0:
        assert done.makespan >= lower_bound(tasks, fleet) * (1 - 1e-9) - 1e-9


def test_of_what_fits_the_first_in_order_begins():
    tasks = [Load(1.0, 3.0), Load(1.0, 1.0), Load(1.0, 2.0)]
    assert simulate(tasks, Fleet((Host(1),))).starts == (2.0, 0.0, 1.0)


def test_the_quicker_host_is_filled_first():
    done = simulate([Load(10.0), Load(10.0)], Fleet((Host(1), Host(1, 2.0))))
    assert done.ends == (5.0, 10.0)


def test_longest_first_is_within_a_third_of_the_bound_and_repeatable():
    chance = random.Random(3)
    seconds = [chance.lognormvariate(0, 1) for _ in range(300)]
    tasks = [Load(one, -one) for one in seconds]
    fleet = Fleet((Host(7),))
    done = simulate(tasks, fleet)
    assert done.makespan <= lower_bound(tasks, fleet) * 4 / 3
    assert done == simulate(tasks, fleet)


def test_an_order_may_change_on_the_way():
    tasks = [Load(1.0, float(at)) for at in range(4)]

    def watch(_now, ended):
        return [0.0, 3.0, 2.0, 1.0]

    assert simulate(tasks, Fleet((Host(1),)), watch=watch).starts == (0.0, 3.0, 2.0, 1.0)


def test_twenty_thousand_tasks_on_a_thousand_slots_all_run():
    chance = random.Random(4)
    tasks = [Load(chance.random(), -chance.random()) for _ in range(20_000)]
    done = simulate(tasks, Fleet((Host(16),) * 64))
    assert done.never == 0


def test_equal_counts_are_as_slow_as_the_slowest_part():
    assert split_by_count([9, 9, 1, 1], 2) == 18
    assert split_by_count([5.0], 4) == 5.0
    assert split_by_count([], 3) == pytest.approx(0)
