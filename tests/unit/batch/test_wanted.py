"""How many pilots the work wants."""

import pytest

from stoker.batch.wanted import can_run, usable_s, wanted
from stoker.model.batch import BatchSystem, Crew, Demand, Load, Manners

MANNERS = Manners()


def system(name="main", **more):
    return BatchSystem(
        **{"name": name, "system": "slurm", "time_limit_s": 4 * 3600.0, "max_pilots": 20} | more
    )


def load(n, expected_s=600.0, **more):
    known = {"expected_s": expected_s, "well_s": expected_s}
    return Load(**{"n": n, "cpus": 1, "memory_bytes": 0} | known | more)


def want(*loads, of=None, **more):
    systems = of or [system()]
    return wanted(systems, Demand(loads=loads, **more), MANNERS)


def test_nothing_to_do_wants_nobody():
    assert want() == {"main": 0}


def test_as_many_as_are_through_within_about_an_hour():
    assert want(load(60, 600.0)) == {"main": 10}


def test_never_more_than_can_be_busy_at_the_same_time():
    assert want(load(3, 3 * 3600.0)) == {"main": 3}


def test_never_more_than_the_most():
    assert want(load(10_000, 3600.0)) == {"main": 20}


def test_a_little_work_wants_one():
    assert want(load(1, 1.0)) == {"main": 1}


def test_steps_of_unknown_length_want_one_together():
    unknown = {"expected_s": None, "well_s": None}
    assert want(load(500, **unknown), load(500, **unknown)) == {"main": 1}


def test_a_pilot_of_several_cpus_counts_for_as_many():
    assert want(load(60, 600.0), of=[system(cpus=5)]) == {"main": 2}


def test_memory_counts_where_it_is_the_larger_part():
    wide = system(cpus=8, memory_bytes=8 << 30)
    assert want(load(8, 3600.0, memory_bytes=4 << 30), of=[wide]) == {"main": 4}


def test_a_pool_bounds_how_wide_the_work_is():
    assert want(load(100, 3600.0, pools={"matlab": 1}), pools={"matlab": 5}) == {"main": 5}


def test_a_closed_pool_wants_nobody():
    assert want(load(100, pools={"night": 1}), closed=frozenset({"night"})) == {"main": 0}


def test_other_workers_do_their_part():
    crew = Crew(slots=4, memory_bytes=1 << 40)
    assert want(load(60, 600.0), crews=(crew,)) == {"main": 6}
    assert want(load(4, 600.0), crews=(crew,)) == {"main": 0}
    small = Crew(slots=4, memory_bytes=1)
    assert want(load(60, 600.0, memory_bytes=10), crews=(small,)) == {"main": 10}


def test_what_its_pilots_are_busy_with_counts():
    busy = tuple(("main", 1, 3600.0) for _ in range(5))
    assert want(load(5, 3600.0), busy=busy) == {"main": 10}


@pytest.mark.parametrize(
    ("needs", "fits"),
    [
        ({"cpus": 2}, False),
        ({"memory_bytes": 9 << 30}, False),
        ({"needs": frozenset({"gpu"})}, False),
        ({"needs": frozenset({"grid"})}, True),
        ({"well_s": 5 * 3600.0}, False),
        ({"well_s": 5 * 3600.0, "timeout_s": 3600.0}, True),
        ({"well_s": None, "expected_s": None}, True),
    ],
)
def test_only_what_fits_a_pilot_counts(needs, fits):
    own = system(memory_bytes=8 << 30, tags=("grid",))
    assert can_run(load(1, **needs), own, MANNERS) is fits
    assert want(load(5, **{"expected_s": 3600.0} | needs), of=[own])["main"] == 0 or fits


def test_the_first_gets_what_both_could_do_and_the_second_the_rest():
    both = [system("cheap", max_pilots=4), system("dear", max_pilots=9)]
    assert want(load(3, 3600.0), of=both) == {"cheap": 3, "dear": 0}
    assert want(load(10, 3600.0), of=both) == {"cheap": 4, "dear": 6}


def test_one_that_is_held_leaves_all_of_it_to_the_next():
    both = [system("cheap", max_pilots=4), system("dear", max_pilots=9)]
    demand = Demand(loads=(load(3, 3600.0),))
    assert wanted(both, demand, MANNERS, out=["cheap"])["dear"] == 3


def test_a_pilot_keeps_time_for_its_start_and_its_end():
    assert usable_s(system(time_limit_s=3600.0), MANNERS) == 3600 - 60 - 30
    assert usable_s(system(time_limit_s=20.0), MANNERS) == 20 - 2 - 5
