"""The simulator: what it never does, and what it does quickly."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.model.gate import Gate
from stoker.model.hours import Hours
from stoker.model.load import ONE_CPU, RUNNING, Load, Needs
from stoker.model.pool import Pool
from stoker.model.rank import order_key
from stoker.model.shares import ShareBy, Shares
from stoker.model.simulate import (
    Fleet,
    Host,
    fleet_of,
    lower_bound,
    memory_power,
    simulate,
    split_by_count,
)

DISK = ("disk", 1)
MORNING = Hours(8 * 60, 9 * 60, "UTC")
NOON_US = 12 * 3_600_000_000  # of the first day of the epoch
LICENCE = frozenset({"matlab"})
hosts = st.lists(
    st.builds(
        Host,
        st.integers(1, 4),
        st.sampled_from([0.5, 1.0, 2.0]),
        st.sampled_from([None, 1, 5, 16]),
        st.sampled_from([None, frozenset(), LICENCE]),
    ),
    max_size=4,
)


@st.composite
def loads(draw):
    found = []
    for at in range(draw(st.integers(0, 25))):
        before = draw(st.lists(st.integers(0, at - 1), max_size=3, unique=True)) if at else []
        found.append(
            Load(
                draw(st.sampled_from([0.0, 0.5, 1.0, 3.0, 10.0])),
                draw(st.sampled_from([-2.0, -1.0, 0.0])),
                Needs(
                    draw(st.integers(1, 5)),
                    draw(
                        st.sampled_from(
                            [(), (("ram", 1),), (("gpu", 2), ("ram", 1)), (("disk", 1),)]
                        )
                    ),
                    draw(st.sampled_from([0, 0, 1, 4])),
                    draw(st.sampled_from([frozenset(), frozenset(), LICENCE])),
                ),
                tuple(before),
                draw(st.sampled_from("ab")),
            )
        )
    return found


def overlapping(schedule, at, moment):
    return schedule.starts[at] <= moment < schedule.ends[at]


@settings(max_examples=60, deadline=None)
@given(loads(), hosts, st.sampled_from([Shares(), Shares(by=ShareBy.USER, weights={"a": 3.0})]))
def test_nothing_is_ever_overbooked_and_everything_that_can_runs_after_what_it_needs(
    tasks, there, shares
):
    gates = {"ram": Gate(MORNING, now_us=NOON_US), "disk": Gate(per_minute=2)}
    fleet = Fleet(tuple(there), {"ram": 2}, {"gpu": 2, "disk": 1}, gates, shares)
    done = simulate(tasks, fleet)
    for moment in set(done.starts):
        now = [at for at in range(len(tasks)) if overlapping(done, at, moment)]
        for number, host in enumerate(there):
            on = [tasks[at].needs for at in now if done.hosts[at] == number]
            assert sum(needs.cpus for needs in on) <= host.slots
            assert host.memory_bytes is None or sum(n.memory_bytes for n in on) <= host.memory_bytes
            assert host.tags is None or all(needs.tags <= host.tags for needs in on)
            for pool, n in fleet.per_host.items():
                assert sum(dict(needs.pools).get(pool, 0) for needs in on) <= n
        for pool, n in fleet.pools.items():
            assert sum(dict(tasks[at].needs.pools).get(pool, 0) for at in now) <= n
        of_disk = [
            at
            for at, one in enumerate(done.starts)
            if done.hosts[at] >= 0 and moment - 60 < one <= moment and DISK in tasks[at].needs.pools
        ]
        assert len(of_disk) <= 2
    for at, task in enumerate(tasks):
        can = all(done.hosts[one] >= 0 for one in task.after)
        can = can and any(host.holds(task.needs) for host in there)
        assert (done.hosts[at] >= 0) == can
        if can and "ram" in dict(task.needs.pools):
            assert MORNING.is_open(NOON_US + round(done.starts[at] * 1e6))
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


def test_equal_counts_go_by_the_speeds_of_the_hosts():
    assert split_by_count([8.0, 8.0, 3.0], 3, [Host(2, 4.0), Host(1)]) == 3.0


def test_equal_counts_are_as_slow_as_the_slowest_part():
    assert split_by_count([9, 9, 1, 1], 2) == 18
    assert split_by_count([5.0], 4) == 5.0
    assert split_by_count([], 3) == pytest.approx(0)


def test_a_pool_of_each_host_has_its_slots_on_each():
    pools = [Pool(name="gpu", slots=("0", "1"), is_per_host=True), Pool(name="ram", slots=("0",))]
    fleet = fleet_of([Host(8)] * 3, pools, 0)
    assert fleet.pool_slots == {"gpu": 6, "ram": 1}
    done = simulate([Load(1.0, needs=Needs(pools=(("gpu", 1),)))] * 6, fleet)
    assert done.makespan == 1.0
    assert sorted(done.hosts) == [0, 0, 1, 1, 2, 2]
    assert simulate([Load(1.0, needs=Needs(pools=(("gpu", 3),)))], fleet).never == 1
    assert lower_bound([Load(1.0, needs=Needs(pools=(("gpu", 1),)))] * 12, fleet) == 2.0


def test_nothing_of_a_closed_pool_begins_but_what_runs_goes_on():
    night = Pool(name="tape", slots=("0",), hours=MORNING)
    fleet = fleet_of([Host(1)], [night], NOON_US)
    tape = Needs(pools=(("tape", 1),))
    tasks = [Load(3.0, RUNNING, tape), Load(1.0, -9.0, tape), Load(5.0)]
    done = simulate(tasks, fleet)
    assert done.starts == (0.0, 20 * 3600.0, 3.0)
    assert lower_bound(tasks, fleet) == 20 * 3600.0 + 1.0


def test_a_rate_lets_so_many_begin_in_a_minute():
    fleet = fleet_of([Host(9)], [Pool(name="web", slots=tuple("abcdefghi"), per_minute=3)], 0)
    done = simulate([Load(1.0, needs=Needs(pools=(("web", 1),)))] * 7, fleet)
    assert sorted(done.starts) == [0.0] * 3 + [60.0] * 3 + [120.0]
    assert lower_bound([Load(1.0, needs=Needs(pools=(("web", 1),)))] * 7, fleet) == 121.0


def test_work_goes_through_the_hours_day_by_day():
    gate = Gate(MORNING, now_us=NOON_US)
    day_s, opens_s = 24 * 3600.0, 20 * 3600.0
    assert gate.after_s(60.0) == opens_s + 60
    assert gate.after_s(3600.0 * 2.5) == opens_s + 2 * day_s + 1800
    assert Gate().after_s(60.0) == 60.0


def test_memory_and_tags_limit_what_goes_at_once():
    fleet = Fleet((Host(8, 1.0, 16, frozenset()), Host(8, 1.0, 16, LICENCE)))
    hungry = [Load(1.0, needs=Needs(memory_bytes=12))] * 6
    assert simulate(hungry, fleet).makespan == 3.0
    assert lower_bound(hungry, fleet) == pytest.approx(6 * 12 / 32)
    licensed = [Load(1.0, needs=Needs(tags=LICENCE))] * 16
    done = simulate(licensed, fleet)
    assert (done.makespan, set(done.hosts)) == (2.0, {1})
    assert lower_bound(licensed, fleet) == 2.0
    assert simulate([Load(1.0, needs=Needs(memory_bytes=17))], fleet).never == 1
    assert simulate([Load(1.0, needs=Needs(tags=frozenset({"gpu"})))], fleet).never == 1


def test_of_a_host_that_says_nothing_of_memory_and_tags_any_are_taken():
    assert Host(8).holds(Needs(2, memory_bytes=1 << 60, tags=LICENCE)) == 4


USERS = Shares(by=ShareBy.USER)


def of(user, n, seconds, priority=0, rank_s=0.0, needs=ONE_CPU):
    return [Load(seconds, float(order_key(priority, rank_s)), needs, (), user)] * n


def through(tasks, fleet):
    """When each user's last task ends."""
    ends = {}
    for task, end in zip(tasks, simulate(tasks, fleet).ends, strict=True):
        ends[task.share] = max(ends.get(task.share, 0.0), end)
    return ends


def test_a_few_of_one_go_beside_the_many_of_another():
    tasks = of("anna", 1_000, 1.0, rank_s=9.0) + of("ben", 10, 1.0)
    assert through(tasks, Fleet((Host(2),)))["ben"] == 505.0
    assert through(tasks, Fleet((Host(2),), shares=USERS)) == {"anna": 505.0, "ben": 10.0}


def test_what_a_group_gets_goes_by_seconds_cpus_and_weight():
    shares = Shares(by=ShareBy.USER, weights={"anna": 3.0})
    tasks = of("anna", 300, 2.0) + of("ben", 200, 1.0)
    assert through(tasks, Fleet((Host(4),), shares=shares)) == pytest.approx(
        {"anna": 200.0, "ben": 200.0}, abs=3
    )
    wide = of("anna", 100, 1.0, needs=Needs(3)) + of("ben", 300, 1.0)
    ends = through(wide, Fleet((Host(3),), shares=USERS))
    assert ends == pytest.approx({"anna": 200.0, "ben": 200.0}, abs=3)


def test_priority_goes_before_shares_and_what_runs_before_all():
    running = Load(50.0, RUNNING, share="anna")
    tasks = [running, *of("anna", 5, 1.0, priority=1), *of("ben", 5, 1.0)]
    done = simulate(tasks, Fleet((Host(2),), shares=USERS))
    assert done.starts[:6] == (0.0, 0.0, 1.0, 2.0, 3.0, 4.0)
    assert max(done.ends[6:]) == 10.0


def test_who_waited_at_a_gate_gains_nothing_by_it():
    night = Pool(name="tape", slots=("0", "1"), hours=Hours(20 * 60, 8 * 60, "UTC"))
    tape = Needs(pools=(("tape", 1),))
    tasks = of("anna", 40, 3600.0) + of("ben", 10, 3600.0, needs=tape)
    done = simulate(tasks, fleet_of([Host(2)], [night], NOON_US, USERS))
    late = [start / 3600 for start in done.starts[40:]]
    assert min(late) == 8.0
    assert max(late) == pytest.approx(8.0 + 9, abs=1)  # every second slot, and not both


def test_an_order_that_changes_holds_within_the_shares():
    tasks = of("anna", 3, 1.0) + of("ben", 3, 1.0)

    def watch(_now, _ended):
        return [float(order_key(0, at)) for at in range(6)]

    done = simulate(tasks, Fleet((Host(1),), shares=USERS), watch=watch)
    assert done.starts == (0.0, 5.0, 3.0, 4.0, 2.0, 1.0)


def test_a_quick_host_has_its_memory_free_again_sooner():
    assert memory_power([Host(1, 2.0, 8), Host(4, 0.5, 4)]) == 18
    assert memory_power([Host(1, 2.0, 8), Host(1)]) == math.inf


def test_what_stays_together_runs_on_the_host_of_its_first():
    """Two chains on two hosts: the slow host keeps its chain, though the quick one is free before."""
    fleet = Fleet((Host(1, 4.0), Host(1)))
    chains = [Load(4.0), Load(4.0, 1.0), Load(4.0, after=(0,)), Load(4.0, 1.0, after=(1,))]
    free = simulate(chains, fleet)
    assert free.hosts == (0, 1, 0, 0)
    bound = simulate([load._replace(together=at % 2) for at, load in enumerate(chains)], fleet)
    assert bound.hosts == (0, 1, 0, 1)
    assert (free.makespan, bound.makespan) == (5.0, 8.0)


def test_what_belongs_to_a_host_waits_for_it():
    only = Load(1.0, needs=Needs(host=1))
    done = simulate([only] * 3, Fleet((Host(1, 9.0), Host(1))))
    assert (done.hosts, done.makespan) == ((1, 1, 1), 3.0)
