"""What is ready, by needs: for whoever brings workers, and for who says why nothing happens."""

import pytest

from stoker.model.item import NewItem
from stoker.model.pipeline import Run, Step
from stoker.model.pool import Pool
from stoker.model.states import AttemptState
from stoker.store import journal_fold
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.claims import demand as demands
from stoker.store.claims.demand import demand
from stoker.store.forecasts import estimates
from stoker.store.holdings import pools
from stoker.store.orders import verbs
from store.rig import set_pools


def step(name: str, *after: str, **more) -> Step:
    return Step(name=name, after=after, action=Run(text="true"), **more)


def kinds(store):
    return {(one.step, one.user): one.count for one in demand(store)}


def test_a_store_without_work_demands_nothing(rig, pipeline):
    assert demand(rig.store) == []
    rig.apply(pipeline(one=(), two=("one",)))
    assert demand(rig.store) == []


def test_what_is_ready_is_counted_by_its_needs(rig, pipeline):
    big = step("big", cpus=8, memory_bytes=(1 << 34,), needs=("gpu", "fast"), timeout_s=60.0)
    rig.apply(pipeline(big, step("small"), step("after", "small")))
    rig.push("a", "b", "c")
    register.register(rig.store, "line", [NewItem(key="d", path="/data/d")], Actor("ann"))
    assert kinds(rig.store) == {
        ("big", "tester"): 3, ("small", "tester"): 3, ("big", "ann"): 1, ("small", "ann"): 1,
    }  # fmt: skip
    one = next(one for one in demand(rig.store) if one.step == "big")
    assert (one.cpus, one.memory_bytes, one.tags) == (8, 1 << 34, ["fast", "gpu"])
    assert (one.pipeline, one.item, one.host, one.at_once) == ("line", "a", None, None)
    assert (one.expected_s, one.needed_s, one.timeout_s) == (None, None, 60.0)


def test_what_nobody_could_claim_is_not_demanded(rig, pipeline):
    rig.apply(pipeline(step("one", retries=1, backoff_s=3600)))
    rig.push("running", "held", "backing off", "ready")
    verbs.hold(rig.store, rig.select(keys=("held",)), Actor("me"))
    tasks = {task.key: task for task in rig.claim(rig.worker(), 3)}
    rig.end(tasks["backing off"], AttemptState.FAILED)
    rig.link.give_back([tasks["ready"]])
    assert [(one.item, one.count) for one in demand(rig.store)] == [("ready", 1)]


def test_free_slots_of_shared_pools_bound_what_could_begin(rig, pipeline):
    own = Pool(name="gpu", slots=("0",), is_per_host=True)
    shared = Pool(name="ram", slots=("0", "1", "2", "3", "4"))
    rated = Pool(name="door", slots=("0", "1", "2"), per_minute=1)
    set_pools(rig.store, [own, shared, rated])
    rig.apply(
        pipeline(
            step("two", pools={"ram": 2, "gpu": 1}),
            step("three", pools={"gpu": 1}),
            step("one", pools={"ram": 1, "door": 1}),
        )
    )
    rig.push("a", "b")
    found = {one.step: (one.at_once, dict(one.pools)) for one in demand(rig.store)}
    assert found == {
        "two": (2, {"ram": 2, "gpu": 1}), "three": (None, {"gpu": 1}),
        "one": (1, {"ram": 1, "door": 1}),
    }  # fmt: skip
    rig.claim(rig.worker(), 1)
    pools.set_slots(rig.store, "ram", 1, Actor("me"))
    assert {one.step: one.at_once for one in demand(rig.store)}["two"] == 0


def test_how_long_it_takes_is_told_once_it_is_known(rig, pipeline):
    rig.apply(pipeline(step("one")))
    rig.push(*(f"k{number}" for number in range(6)))
    worker = rig.worker()
    for n, task in enumerate(rig.claim(worker, 4), 1):
        began = task.claimed_us
        rig.end(task, started_us=began, ended_us=began + 10_000_000 + n)
    journal_fold.fold(rig.store)
    estimates.catch_up(rig.store, limit_s=60)
    assert demand(rig.store)[0].expected_s == pytest.approx(10, rel=0.2), "of those ready before"
    rig.push("new1", "new2")  # and what was ready is reckoned anew now and then
    verbs.cancel(rig.store, rig.select(keys=("k*",)), Actor("me"))
    (one,) = demand(rig.store)
    assert one.count == 2
    assert one.expected_s == pytest.approx(10, rel=0.2)
    assert one.needed_s >= one.expected_s


def test_the_mean_of_many_is_that_of_an_even_part(rig, pipeline, monkeypatch):
    monkeypatch.setattr(demands, "LOOKED_AT", 3)
    rig.apply(pipeline(step("one")))
    rig.push(*(f"k{number:02}" for number in range(20)))
    (one,) = demand(rig.store)
    assert (one.count, one.item, one.expected_s) == (20, "k00", None)


def test_what_stays_on_a_host_is_demanded_of_that_host(rig, pipeline):
    rig.apply(pipeline(step("one", together="disk"), step("two", "one", together="disk")))
    rig.push("a")
    rig.end(rig.claim(rig.worker(host="n7"))[0])
    (one,) = demand(rig.store)
    assert (one.step, one.host) == ("two", "n7")
