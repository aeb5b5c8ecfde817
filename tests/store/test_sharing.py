"""Who may run what, when: tags, pools with hosts, hours and rates, fair shares, staying together."""

from collections import Counter
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from stoker.errors import NotFound, UserError
from stoker.model.bounds import PRIORITY
from stoker.model.hours import parse_hours
from stoker.model.item import NewItem
from stoker.model.pipeline import Pipeline, Run, Step
from stoker.model.pool import Pool
from stoker.model.shares import Ledger, ShareBy, Shares
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.ends import lost_hosts
from stoker.store.holdings import pools
from stoker.store.orders import verbs
from stoker.store.reports import overview, why_waiting
from store.clock import Clock
from store.rig import ME, pairs, set_pools, set_shares

TWO = ("0", "1")


@pytest.fixture
def clock(store, monkeypatch):
    return Clock(store, monkeypatch)


def step(name: str, **more) -> Step:
    return Step(name=name, action=Run(text="true"), backoff_s=0, **more)


def line(*steps: Step, name: str = "line") -> Pipeline:
    return Pipeline(name=name, folder="/project", steps=steps)


def why(rig, key="a"):
    found = why_waiting.why(rig.store, key)
    return found.kind, found.text


# ------------------------------------------------------------------------------------------- tags


def test_a_worker_without_the_tag_gets_nothing_and_why_says_which_is_missing(rig):
    rig.apply(line(step("one", needs=("matlab", "gpu"))))
    rig.push("a")
    plain, half = rig.worker(), rig.worker(tags=["gpu"])
    assert rig.claim(plain, 4) == rig.claim(half, 4) == []
    kind, text = why(rig)
    assert kind == "no_worker_fits"
    assert "`matlab`" in text
    fitting = rig.worker(tags=["gpu", "matlab", "other"])
    assert pairs(rig.claim(fitting, 4)) == [("a", "one")]


def test_why_names_who_had_the_tag_and_that_nobody_has_all(rig):
    rig.apply(line(step("one", needs=("matlab",), cpus=3)))
    rig.push("a")
    rig.lapse(rig.worker(host="old", tags=["matlab"]))
    rig.link.reap()
    rig.worker(host="big")
    assert "`old-1` on `old` had it last" in why(rig)[1]
    rig.worker(host="small", slots=2, tags=["matlab"])
    assert "no one worker has all that it needs: 3 cpus, tag `matlab`" in why(rig)[1]


# ------------------------------------------------------------------------------------------ pools


def test_each_host_has_its_own_slots_of_a_pool_per_host(rig):
    gpu = Pool(name="gpu", slots=TWO, is_per_host=True, kind="gpu")
    set_pools(rig.store, [gpu])
    rig.apply(line(step("one", pools={"gpu": 1})))
    rig.push(*"abcdefg")
    one, other = rig.worker(host="one"), rig.worker(host="other")
    here, there = rig.claim(one, 4), rig.claim(other, 4)
    assert [task.slots["gpu"] for task in (*here, *there)] == [("0",), ("1",)] * 2
    assert overview.status(rig.store).pools["gpu"].hosts == {
        "one": {"slots": 2, "used": 2}, "other": {"slots": 2, "used": 2}
    }  # fmt: skip
    assert "4 of 4 held" in why(rig, "g")[1]
    rig.end(here[0])
    assert [task.slots["gpu"] for task in rig.claim(one, 4)] == [("0",)]
    assert rig.claim(other, 4) == []
    pools.set_slots(rig.store, "gpu", 1, ME)
    assert overview.status(rig.store).pools["gpu"].slots == 2
    assert len(rig.claim(rig.worker(host="third"), 4)) == 1, "a new host gets what counts now"
    rig.check()


def test_a_pool_set_by_hand_holds_until_the_file_says_something_else(rig):
    ram = Pool(name="ram", slots=TWO)
    set_pools(rig.store, [ram])
    rig.apply(line(step("one", pools={"ram": 1})))
    rig.push(*"abcd")
    worker = rig.worker()
    held = rig.claim(worker, 4)
    assert len(held) == 2
    assert pools.set_slots(rig.store, "ram", 3, ME).after == 3
    held += rig.claim(worker, 4)
    assert len(held) == 3
    change = pools.set_slots(rig.store, "ram", 1, ME, dry_run=True)
    assert (change.before, change.after, change.retired_but_held) == (3, 1, 2)
    pools.set_slots(rig.store, "ram", 1, ME)
    for task in reversed(held):
        assert rig.claim(worker, 4) == []
        assert rig.end(task), "what runs goes on"
    assert len(rig.claim(worker, 4)) == 1
    assert set_pools(rig.store, [ram]) == [], "the file says what it said before"
    assert pools.set_slots(rig.store, "ram", 0, ME).after == 0
    (change,) = set_pools(rig.store, [Pool(name="ram", slots=("0", "1", "2"))])
    assert (change.before, change.after) == (0, 3)
    assert "set_pool" in rig.events()
    rig.check()


def test_what_cannot_be_set_is_told(rig):
    set_pools(rig.store, [Pool(name="gpu", slots=("left", "right"))])
    with pytest.raises(NotFound, match="did you mean `gpu`"):
        pools.set_slots(rig.store, "gpi", 1, ME)
    with pytest.raises(UserError, match="have names"):
        pools.set_slots(rig.store, "gpu", 3, ME)
    with pytest.raises(UserError, match="same name"):
        pools.set_slots(rig.store, "gpu", ["left", "left"], ME)
    for bad in (["-1"], ["a\n"], [" "], 64_000_000_000):
        with pytest.raises(UserError, match="pool `gpu` cannot be set so"):
            pools.set_slots(rig.store, "gpu", bad, ME)
    assert pools.set_slots(rig.store, "gpu", ["left", "right"], ME) is None


VIENNA = ZoneInfo("Europe/Vienna")


def test_attempts_begin_within_the_hours_of_a_pool_and_may_end_after(rig, clock):
    night = parse_hours("20:00-08:00", "Europe/Vienna")
    set_pools(rig.store, [Pool(name="tape", slots=TWO, hours=night)])
    rig.apply(line(step("one", pools={"tape": 1})))
    rig.push("a", "b", "c")
    clock.to(datetime(2026, 5, 4, 19, 59, tzinfo=VIENNA))
    worker = rig.worker(lease_s=86_400)
    assert rig.claim(worker, 1) == []
    assert why(rig)[0] == "outside_hours"
    assert overview.status(rig.store).pools["tape"].opens_at is not None
    assert rig.link.anything_left().waiting, "a worker that drains stays for the night"
    clock.to(datetime(2026, 5, 4, 20, 0, 1, tzinfo=VIENNA))
    (task,) = rig.claim(worker, 1)
    clock.to(datetime(2026, 5, 5, 7, 59, tzinfo=VIENNA))
    assert len(rig.claim(worker, 1)) == 1
    clock.to(datetime(2026, 5, 5, 8, 0, 1, tzinfo=VIENNA))
    assert rig.end(task), "what runs when the window closes goes on"
    assert rig.claim(worker, 1) == []


def test_a_drained_worker_tells_a_slot_in_other_hands_from_a_need_it_cannot_meet(rig):
    set_pools(rig.store, [Pool(name="one", slots=("0",))])
    rig.apply(line(step("first", pools={"one": 1}), step("wide", cpus=64, after=("first",))))
    rig.push("a", "b")
    one, other = rig.worker(), rig.worker()

    def is_over(worker):
        return rig.link.has_nothing_for(worker, cpus_free=4, memory_free_bytes=1 << 33)

    events = rig.events()
    assert not is_over(other), "it can claim"
    assert rig.events() == events
    (task,) = rig.claim(one)
    assert not is_over(other), "the slot comes back"
    verbs.rerun(rig.store, rig.select(keys=("a",)), ME)
    verbs.cancel(rig.store, rig.select(), ME)
    assert rig.claim(other) == []
    assert not is_over(other), "who holds the slot has been fenced off, and has yet to say so"
    rig.end(task)
    assert is_over(other), "nothing is ready"
    verbs.rerun(rig.store, rig.select(keys=("a",)), ME)
    assert rig.work(one) == [("a", "first")]
    assert is_over(other), "what is ready needs more cpus"
    assert rig.states()["a", "wide"] == "ready"
    rig.check()


def test_no_more_begin_in_any_minute_than_the_rate_allows(rig, clock):
    set_pools(rig.store, [Pool(name="site", slots=tuple("01234567"), per_minute=3)])
    rig.apply(line(step("one", pools={"site": 1})))
    rig.push(*"abcdefghijkl")
    one, other = rig.worker(lease_s=3600), rig.worker(host="other", lease_s=3600)
    began = []
    for _ in range(14):
        for worker in (one, other):
            for task in rig.claim(worker, 4):
                began.append(task.claimed_us)
                rig.end(task)
        clock.go(s=11)
    assert len(began) == 9
    for at in began:
        assert sum(at <= one < at + 60_000_000 for one in began) <= 3
    assert why(rig, "j")[0] == "rate"
    assert rig.link.anything_left().waiting
    set_pools(rig.store, [Pool(name="site", slots=TWO, per_minute=1)])
    assert rig.claim(one, 4) == []
    clock.go(s=61)
    assert len(rig.claim(one, 4)) == 1


def test_why_tells_of_the_rate_of_the_hosts_that_are_there(rig):
    site = Pool(name="site", slots=TWO, is_per_host=True, per_minute=1)
    set_pools(rig.store, [site])
    rig.apply(line(step("one", pools={"site": 1})))
    rig.push(*"abc")
    rig.link.retire(rig.worker(host="gone"))
    assert len(rig.claim(rig.worker(host="here"), 4)) == 1
    assert why(rig, "c")[0] == "rate"


# --------------------------------------------------------------------------------- large tasks


def test_a_large_task_is_not_starved_by_small_ones(rig, clock):
    """Small ones come for ever; without a reservation four cpus would never be free at once."""
    rig.apply(line(step("large", cpus=4), step("small")))
    rig.push(*(f"k{number}" for number in range(60)))
    worker = rig.worker(lease_s=86_400)
    running = rig.claim(worker, 3, cpus=1)
    assert {task.step for task in running} == {"small"}
    said: list[tuple[str, str]] = []
    for _ in range(40):
        free = 4 - sum(task.cpus for task in running)
        running += rig.claim(worker, 1, cpus=free) if free > 0 else []
        if any(task.step == "large" for task in running):
            break
        said.append(why(rig, "k50"))
        rig.end(running.pop(0))
        clock.go(s=10)
    else:
        raise AssertionError("the large one never began")
    assert len(said) >= 6, "for a minute the small ones use what is free"
    assert [task.step for task in running] == ["large"]
    assert any("`host` keeps what becomes free for it" in text for _, text in said)
    rig.check()


def test_only_one_host_is_kept_free_for_it(rig, clock):
    rig.apply(line(step("large", cpus=4), step("small")))
    rig.push(*(f"k{number}" for number in range(60)))
    one, other = (rig.worker(host=name, lease_s=86_400) for name in ("one", "other"))
    for worker in (one, other):
        assert len(rig.claim(worker, 3, cpus=1)) == 3
    clock.go(s=61)
    assert rig.claim(one, 1, cpus=1) == []
    assert len(rig.claim(other, 1, cpus=1)) == 1
    clock.go(s=61)
    assert rig.claim(other, 1, cpus=1) == [], "`one` has not looked since, and may be gone"
    assert len(rig.claim(one, 1, cpus=1)) == 1


def test_what_needs_several_slots_gets_them(rig, clock):
    set_pools(rig.store, [Pool(name="ram", slots=("0",))])
    rig.apply(line(step("wide", pools={"ram": 3}), step("thin", pools={"ram": 1})))
    rig.push(*(f"k{number}" for number in range(60)))
    worker = rig.worker(lease_s=86_400)
    running = rig.claim(worker, 1)
    pools.set_slots(rig.store, "ram", 3, ME)
    running += rig.claim(worker, 2)
    assert [task.step for task in running] == ["thin"] * 3
    for _ in range(40):
        rig.end(running.pop(0))
        running += rig.claim(worker, 1)
        if any(task.step == "wide" for task in running):
            break
        clock.go(s=10)
    assert [task.step for task in running] == ["wide"]
    rig.check()


# ------------------------------------------------------------------------------------ fair shares


def push_as(rig, user, *keys, pipeline="line", priority=0):
    items = [NewItem(key=key, path=f"/{key}", fingerprint="", priority=priority) for key in keys]
    register.register(rig.store, pipeline, items, Actor(user))


def served(rig, n, ledger=None):
    """Work off so many tasks, one at a time; return whose they were, in order."""
    worker, ledger, found = rig.worker(slots=1), ledger or Ledger(), []
    for _ in range(n):
        (task,) = rig.claim(worker, 1, cpus=1, ledger=ledger)
        rig.end(task)
        ledger.end(task.attempt, 1.0)
        found.append(task.key[0])
    return found


@pytest.mark.parametrize("by", list(ShareBy))
def test_a_hundred_of_one_do_not_stop_ten_of_another(rig, by):
    files = {"line": "anna", "his": "ben"}
    assert set_shares(rig.store, Shares(by=by, files=files))
    for name in files:
        rig.apply(line(step("one"), name=name))
    push_as(rig, "anna", *(f"a{number}" for number in range(100)))
    push_as(rig, "ben", *(f"b{number}" for number in range(10)), pipeline="his")
    order = served(rig, 22)
    assert Counter(order)["b"] == 10
    assert "aaaa" not in "".join(order[:18])
    rig.check()


def test_weights_and_priority(rig):
    set_shares(rig.store, Shares(by=ShareBy.USER, weights={"anna": 3.0}))
    rig.apply(line(step("one")))
    for user in ("anna", "ben"):
        push_as(rig, user, *(f"{user}{number}" for number in range(40)))
    counts = Counter(served(rig, 16))
    assert counts["a"] in (11, 12, 13)
    push_as(rig, "anna", "a-urgent", priority=1)
    (task,) = rig.claim(rig.worker(slots=1), 1, cpus=1, ledger=Ledger())
    assert task.key == "a-urgent"


def test_without_shares_the_order_alone_counts(rig):
    rig.apply(line(step("one")))
    push_as(rig, "anna", "a1", "a2")
    push_as(rig, "ben", "b1", "b2")
    assert served(rig, 4) == ["a", "a", "b", "b"]


def test_a_claim_of_several_is_divided_too(rig):
    set_shares(rig.store, Shares(by=ShareBy.USER))
    rig.apply(line(step("one")))
    push_as(rig, "anna", *(f"a{number}" for number in range(50)))
    push_as(rig, "ben", *(f"b{number}" for number in range(50)))
    tasks = rig.claim(rig.worker(), 32, ledger=Ledger())
    assert Counter(task.key[0] for task in tasks) == {"a": 16, "b": 16}


# ------------------------------------------------------------------------------- staying together


TOGETHER = (
    step("first", together="disk"),
    step("second", after=("first",), together="disk"),
    step("third", after=("second",)),
)


def test_an_item_s_steps_stay_on_the_host_of_the_first(rig):
    rig.apply(line(*TOGETHER))
    rig.push("a", "b")
    one, other = rig.worker(host="one"), rig.worker(host="other")
    (a,), (b,) = rig.claim(one, 1), rig.claim(other, 1)
    rig.end(a)
    rig.end(b)
    assert pairs(rig.claim(one, 4)) == [("a", "second")]
    (task,) = rig.claim(other, 4)
    assert (task.key, task.step) == ("b", "second")
    rig.end(task)
    assert pairs(rig.claim(one, 4)) == [("b", "third")], "what is of no name goes anywhere"
    rig.check()


def test_two_first_steps_meet_on_one_host(rig):
    rig.apply(line(step("left", together="disk"), step("right", together="disk")))
    rig.push("a")
    one, other = rig.worker(host="one"), rig.worker(host="other")
    (task,) = rig.claim(one, 1)
    assert rig.claim(other, 4) == []
    assert [found.key for found in rig.claim(one, 4)] == [task.key]
    rig.check()


def test_what_stayed_on_a_host_that_is_gone_begins_again(rig, clock):
    rig.apply(line(*TOGETHER))
    rig.push("a")
    one, other = rig.worker(host="one"), rig.worker(host="other", lease_s=86_400)
    (task,) = rig.claim(one, 1)
    rig.end(task)
    rig.lapse(one)
    rig.link.reap()
    assert lost_hosts.begin_again_elsewhere(rig.store) == 0, "it may come back"
    assert why(rig)[0] == "host_gone"
    assert rig.claim(other, 4) == []
    clock.go(s=lost_hosts.GONE_S + 1)
    assert lost_hosts.begin_again_elsewhere(rig.store) == 1
    assert rig.states() == {("a", "first"): "ready", ("a", "second"): "blocked", ("a", "third"): "blocked"}  # fmt: skip
    assert pairs(rig.claim(other, 4)) == [("a", "first")]
    rig.check()


def test_a_rerun_of_the_first_is_free_to_go_elsewhere_and_of_the_second_is_not(rig):
    rig.apply(line(*TOGETHER))
    rig.push("a")
    one, other = rig.worker(host="one"), rig.worker(host="other")
    for _ in range(2):
        (task,) = rig.claim(one, 1)
        rig.end(task)
    verbs.rerun(rig.store, rig.select(steps=("second",)), ME)
    assert rig.claim(other, 4) == []
    verbs.rerun(rig.store, rig.select(steps=("first",)), ME)
    assert pairs(rig.claim(other, 4)) == [("a", "first")]
    rig.check()


# --------------------------------------------------------------------------------------- priority


def test_priorities_at_their_bounds_go_in_order_with_shares_on(rig):
    """For every size, so that ranks differ; what a finished step makes ready keeps its priority."""
    rig.apply(line(step("one"), step("two", after=("one",))))
    set_shares(rig.store, Shares(by=ShareBy.USER, weights={"anna": 3.0}))
    wanted = [PRIORITY.most, PRIORITY.most - 1, 1, 0, -1, PRIORITY.least + 1, PRIORITY.least]
    for number, priority in enumerate(reversed(wanted)):
        size = 1 << (9 * number)
        items = [
            NewItem(key=f"{user}{priority}", path=f"/{user}{priority}", size_bytes=size,
                    fingerprint="1", priority=priority)
            for user in ("anna", "ben")
        ]  # fmt: skip
        for item in items:
            register.register(rig.store, "line", [item], Actor(item.key.rstrip("-0123456789")))
    worker, ledger, order = rig.worker(slots=1), Ledger(), []
    while claimed := rig.claim(worker, 1, ledger=ledger):
        order.append(
            (int(claimed[0].key.removeprefix("anna").removeprefix("ben")), claimed[0].step)
        )
        assert rig.end(claimed[0])
    assert [priority for priority, _ in order] == [one for one in wanted for _ in range(4)]
    assert overview.status(rig.store).pipelines["line"].items["done"] == len(wanted) * 2
    rig.check()


@pytest.mark.parametrize("priority", [PRIORITY.most + 1, PRIORITY.least - 1, 1 << 40, 1 << 62])
def test_no_store_takes_a_priority_beyond_its_bounds(rig, priority):
    rig.apply(line(step("one")))
    item = NewItem(key="a", path="/a", fingerprint="1", priority=priority)
    with pytest.raises(Exception, match=r"(?i)item_priority|range"):
        register.register(rig.store, "line", [item], ME)
    assert rig.states() == {}
