"""What attempts took is learned, and the order of what is left follows."""

import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from stoker.model.estimate import Observation, fit
from stoker.model.hours import Hours
from stoker.model.item import NewItem
from stoker.model.pipeline import Pipeline, Run, Step
from stoker.model.pool import Pool
from stoker.model.rank import rank_of
from stoker.model.selection import Selection
from stoker.model.shares import ShareBy, Shares
from stoker.model.states import AttemptState
from stoker.store import journal_fold, tables
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.forecasts import (
    by_totals,
    estimates,
    open_work,
    ready_sample,
    reordering,
    utilisation,
)
from stoker.store.orders import verbs
from stoker.store.reports import lists, overview, story
from stoker.store.unit import Unit
from store.rig import ME, set_pools, set_shares

SECOND = 1_000_000


def of_pool(pool, name="line"):
    one = Step(name="a", action=Run(text="true"), pools={pool: 1} if pool else {})
    return Pipeline(name=name, folder="/project", steps=(one,))


def push(rig, **sizes):
    items = [NewItem(key=k, path=f"/data/{k}", size_bytes=size) for k, size in sizes.items()]
    return register.register(rig.store, "line", items, ME)


def push_as(rig, user, pipeline, numbers):
    items = [NewItem(key=f"{pipeline}{n:02}", path=f"/data/{pipeline}/{n}") for n in numbers]
    return register.register(rig.store, pipeline, items, Actor(user))


def took(rig, task, seconds, state=AttemptState.SUCCEEDED, **more):
    ended = task.claimed_us + round(seconds * SECOND)
    return rig.end(task, state, started_us=task.claimed_us, ended_us=ended, **more)


def look(rig):
    journal_fold.fold(rig.store)
    reordering.look_after(rig.store, refresh_s=60, at_once=True)


def ranks(rig):
    """The rank in seconds of each task, by key and step."""
    task, item, step = tables.task, tables.item, tables.step
    query = select(item.c.key, step.c.name, task.c.okey).join(item, item.c.id == task.c.item_id)
    with rig.store.reading() as unit:
        rows = unit.execute(query.join(step, step.c.id == task.c.step_id)).fetchall()
    return {(key, name): rank_of(okey) for key, name, okey in rows}


def book(rig):
    with rig.store.reading() as unit:
        return estimates.book(unit)


def expected(rig):
    return {(one.item, one.step): one.expected_s for one in lists.tasks(rig.store, Selection())}


def test_without_history_the_largest_goes_first_and_nothing_is_expected(rig, pipeline):
    rig.apply(pipeline(a=()))
    push(rig, small=1_000, large=5_000_000_000, middle=1_000_000_000)
    assert [task.key for task in rig.claim(rig.worker(), limit=3)] == ["large", "middle", "small"]
    assert set(expected(rig).values()) == {None}


def test_priority_comes_before_length_and_arrival_after_it(rig, pipeline):
    rig.apply(pipeline(a=()))
    push(rig, first=10, second=10, large=9_000_000_000)
    items = [NewItem(key="urgent", path="/u", size_bytes=1, priority=1)]
    register.register(rig.store, "line", items, ME)
    worker = rig.worker()
    assert [task.key for task in rig.claim(worker, limit=4)] == [
        "urgent", "large", "first", "second",
    ]  # fmt: skip


def test_what_was_learned_is_expected_of_ready_new_and_unblocked_tasks(rig, pipeline):
    rig.apply(pipeline(a=(), b=("a",)))
    push(rig, x=1_000_000, y=1_000_000, z=1_000_000)
    worker = rig.worker()
    for task in rig.claim(worker, limit=2):
        took(rig, task, 100)
    for task in rig.claim(worker, limit=3):
        if task.step == "b":
            took(rig, task, 20)
        else:
            rig.link.give_back([task])
    look(rig)
    push(rig, new=1_000_000)
    found = expected(rig)
    assert found["z", "a"] == pytest.approx(100, rel=0.05)
    assert found["new", "a"] == pytest.approx(100, rel=0.05)
    assert found["new", "b"] == pytest.approx(20, rel=0.05)
    assert ranks(rig)["new", "a"] == pytest.approx(120, rel=0.05)
    verbs.rerun(rig.store, Selection(keys=("x",)), ME)
    for task in rig.claim(worker, limit=1):
        took(rig, task, 100)
    assert ranks(rig)[task.key, "b"] == pytest.approx(20, rel=0.05)


def test_ready_tasks_are_reordered_by_what_the_steps_turned_out_to_take(rig, pipeline):
    steps = [Step(name=name, action=Run(text="true")) for name in ("quick", "slow")]
    rig.apply(pipeline(*steps))
    push(rig, **{f"k{n}": 1_000 + n for n in range(6)})
    worker = rig.worker()
    tasks = rig.claim(worker, limit=12)
    for task in tasks:
        if task.key < "k3":
            took(rig, task, 60 if task.step == "slow" else 1)
    rig.link.give_back([task for task in tasks if task.key >= "k3"])
    look(rig)
    assert [task.step for task in rig.claim(worker, limit=6)] == ["slow"] * 3 + ["quick"] * 3
    rig.check()


def test_the_sweep_goes_on_where_it_stopped(rig, pipeline, monkeypatch):
    monkeypatch.setattr(reordering, "BATCH", 2)
    rig.apply(pipeline(a=()))
    push(rig, **{f"k{n}": 1_000 for n in range(9)})
    took(rig, rig.claim(rig.worker())[0], 500)
    journal_fold.fold(rig.store)
    while estimates.learn(rig.store):
        pass
    for _ in range(5):  # a call without time does one batch
        reordering.refresh(rig.store, limit_s=0)
    assert min(one for key, one in ranks(rig).items() if key[0] != "k0") > 400


def test_what_failed_teaches_nothing_and_a_time_limit_at_least_so_much(rig, pipeline):
    rig.apply(pipeline(a=()))
    push(rig, **{f"k{n}": 1_000 for n in range(8)})
    worker = rig.worker()
    tasks = rig.claim(worker, limit=8)
    took(rig, tasks[0], 0.001, AttemptState.FAILED)
    look(rig)
    assert not book(rig).fits
    for task in tasks[1:4]:
        took(rig, task, 10)
    took(rig, tasks[4], 5, AttemptState.TIMED_OUT)
    look(rig)
    (found,) = book(rig).fits.values()
    assert found.seconds(1_000) == pytest.approx(10, rel=0.05)
    for task in tasks[5:]:
        took(rig, task, 300, AttemptState.TIMED_OUT)
    look(rig)
    (found,) = book(rig).fits.values()
    assert found.seconds(1_000) > 50


def test_attempts_of_an_older_body_count_less(rig, pipeline):
    rig.apply(pipeline(a=()))
    push(rig, **{f"k{n:02}": 1_000 for n in range(30)})
    worker = rig.worker()
    for task in rig.claim(worker, limit=20):
        took(rig, task, 1)
    look(rig)
    rig.apply(pipeline(Step(name="a", action=Run(text="slower"))))
    for task in rig.claim(worker, limit=8):
        took(rig, task, 50)
    look(rig)
    (found,) = book(rig).fits.values()
    assert found.seconds(1_000) > 30


def test_hosts_differ_in_speed(rig, pipeline):
    rig.apply(pipeline(a=()))
    push(rig, **{f"k{n:03}": 1_000_000 for n in range(60)})
    fast, slow = rig.worker(host="fast"), rig.worker(host="slow")
    for _ in range(10):
        for worker, seconds in ((fast, 10), (slow, 30)):
            for task in rig.claim(worker, limit=3):
                took(rig, task, seconds)
        look(rig)
    speeds = book(rig).speeds
    assert speeds["fast"] / speeds["slow"] == pytest.approx(3, rel=0.3)


def test_each_end_is_learned_once_and_a_look_too_soon_is_none(rig, pipeline):
    rig.apply(pipeline(a=()))
    push(rig, x=1, y=1, z=1)
    for task in rig.claim(rig.worker(), limit=2):
        took(rig, task, 2)
    look(rig)
    look(rig)
    assert [found.n for found in book(rig).fits.values()] == [2]
    took(rig, rig.claim(rig.worker())[0], 2)
    journal_fold.fold(rig.store)
    reordering.look_after(rig.store)  # somebody has just done it
    assert [found.n for found in book(rig).fits.values()] == [2]


def test_the_sample_stays_small_and_keeps_some_of_the_old():
    sample = [estimates.Took(n, n, "h", 1, 0) for n in range(10_000)]
    kept = estimates.thinned(sample)
    assert len(kept) <= estimates.SAMPLE
    assert kept[-50:] == sample[-50:]
    assert kept[0].size < 5_000


@pytest.mark.parametrize("exact", [1_500, 1])
def test_an_item_and_its_pipeline_have_an_end_in_sight(rig, pipeline, monkeypatch, exact):
    monkeypatch.setattr(open_work, "EXACT", exact)
    rig.apply(pipeline(a=(), b=("a",)))
    push(rig, **{f"k{n:02}": 1_000_000 for n in range(20)})
    worker = rig.worker(slots=2)
    for _ in range(2):
        for task in rig.claim(worker, limit=4):
            took(rig, task, 10)
    look(rig)
    whole = overview.status(rig.store).pipelines["line"]
    left = sum(whole.tasks[word] for word in ("ready", "blocked", "running"))
    assert whole.eta_s == pytest.approx(left * 10 / 2, rel=0.5)
    keys = {one.item for one in lists.items(rig.store, Selection()) if one.state != "done"}
    ends = [story.story(rig.store, key) for key in sorted(keys)]
    assert all(0 < one.eta_s <= 1.3 * whole.eta_s for one in ends)
    assert all(one.eta_interval_s[0] <= one.eta_s <= one.eta_interval_s[1] for one in ends)
    done = next(one.item for one in lists.items(rig.store, Selection(states=("done",))))
    assert story.story(rig.store, done).eta_s is None


@pytest.mark.parametrize("exact", [1_500, 1])
@pytest.mark.parametrize(
    ("pool", "at_once"),
    [({"slots": ("0",)}, 1), ({"slots": ("0",), "is_per_host": True}, 2)],
    ids=["one_for_all", "one_of_each_host"],
)
def test_the_end_in_sight_counts_the_pools(rig, monkeypatch, exact, pool, at_once):
    monkeypatch.setattr(open_work, "EXACT", exact)
    set_pools(rig.store, [Pool(name="ram", **pool)])
    rig.apply(of_pool("ram"))
    push(rig, **{f"k{n:02}": 1_000_000 for n in range(20)})
    gone = rig.worker(host="gone")
    worker, _ = rig.worker(host="one"), rig.worker(host="other")
    rig.link.retire(gone)
    for _ in range(4):
        for task in rig.claim(worker, limit=4):
            took(rig, task, 10)
    look(rig)
    whole = overview.status(rig.store).pipelines["line"]
    assert whole.tasks["ready"] == 16
    assert whole.eta_s == pytest.approx(16 * 10 / at_once, rel=0.2)


@pytest.mark.parametrize("exact", [1_500, 1])
@pytest.mark.parametrize(
    ("more", "at_once"),
    [({}, 8), ({"memory_bytes": (6 << 30, 7 << 30)}, 2), ({"needs": ("matlab",)}, 4)],
    ids=["neither", "memory", "tags"],
)
def test_the_end_in_sight_counts_memory_and_tags(rig, monkeypatch, exact, more, at_once):
    monkeypatch.setattr(open_work, "EXACT", exact)
    step = Step(name="a", action=Run(text="true"), **more)
    rig.apply(Pipeline(name="line", folder="/data", steps=(step,)))
    push(rig, **{f"k{n:02}": 1_000_000 for n in range(36)})
    worker, _ = rig.worker(host="one", tags=("matlab",)), rig.worker(host="other")
    for _ in range(4):
        for task in rig.claim(worker):
            took(rig, task, 10)
    look(rig)
    whole = overview.status(rig.store).pipelines["line"]
    assert whole.tasks["ready"] == 32
    assert whole.eta_s == pytest.approx(32 * 10 / at_once, rel=0.3)


@pytest.mark.parametrize("exact", [1_500, 1])
def test_the_end_in_sight_counts_the_hours_of_those_who_wait_for_them(rig, monkeypatch, exact):
    monkeypatch.setattr(open_work, "EXACT", exact)
    rig.apply(of_pool("tape"))
    rig.apply(of_pool(None, name="other"))
    set_pools(rig.store, [Pool(name="tape", slots=("0",))])
    push(rig, **{f"k{n:02}": 1_000_000 for n in range(6)})
    register.register(rig.store, "other", [NewItem(key=k, path=f"/data/{k}") for k in "abcdef"], ME)
    worker = rig.worker(slots=4)
    for task in rig.claim(worker, limit=4):
        took(rig, task, 10)
    look(rig)
    with rig.store.reading() as unit:
        local = datetime.fromtimestamp(unit.now_us // SECOND, tz=UTC)
    begin = (local.hour * 60 + local.minute + 600) % 1440  # ten hours from now
    hours = Hours(begin, (begin + 60) % 1440, "UTC")
    set_pools(rig.store, [Pool(name="tape", slots=("0",), hours=hours)])
    status = overview.status(rig.store).pipelines
    assert 9.9 * 3600 < status["line"].eta_s < 10.1 * 3600
    assert status["other"].eta_s < 600


@pytest.mark.parametrize("exact", [1_500, 1])
@pytest.mark.parametrize("by", list(ShareBy))
def test_the_end_in_sight_counts_the_shares(rig, monkeypatch, exact, by):
    """Four tasks of one are not promised for after sixty of another, as they get every second slot."""
    monkeypatch.setattr(open_work, "EXACT", exact)
    of_user, worker = {"line": "anna", "other": "ben"}, rig.worker(slots=2)
    for name, user in of_user.items():
        rig.apply(of_pool(None, name=name))
        push_as(rig, user, name, range(4))
        for task in rig.claim(worker, limit=4):
            took(rig, task, 10)
    push_as(rig, "anna", "line", range(4, 64))
    push_as(rig, "ben", "other", range(4, 8))
    look(rig)
    assert overview.status(rig.store).pipelines["other"].eta_s == pytest.approx(320, rel=0.2)
    set_shares(rig.store, Shares(by=by, files=of_user))
    status = overview.status(rig.store).pipelines
    assert status["line"].eta_s == pytest.approx(320, rel=0.2)
    assert status["other"].eta_s == pytest.approx(40, rel=0.3)
    assert 0 < story.story(rig.store, "other07").eta_s < 60


def test_of_many_tasks_some_are_looked_at_for_all(rig, pipeline, monkeypatch):
    monkeypatch.setattr(open_work, "EXACT", 1)
    rig.apply(pipeline(a=()))
    push(rig, **{f"k{n:03}": 1_000_000 * (1 + n % 9) for n in range(600)})
    worker = rig.worker(slots=2)
    for task in rig.claim(worker, limit=40):
        took(rig, task, 1 + int(task.key[1:]) % 9)
    look(rig)
    whole = overview.status(rig.store).pipelines["line"].eta_s
    monkeypatch.setattr(by_totals, "MANY", 1)
    monkeypatch.setattr(ready_sample, "PIECE_IDS", 5)
    monkeypatch.setattr(ready_sample, "ENOUGH", 1)
    with rig.store.reading() as unit:
        looked_at, each = ready_sample.some_ready(unit)
    assert 0 < len(looked_at) < 330
    assert len(looked_at) * each == pytest.approx(560, rel=0.1)
    assert overview.status(rig.store).pipelines["line"].eta_s == pytest.approx(whole, rel=0.1)
    monkeypatch.setattr(ready_sample, "ENOUGH", 1_000)  # too few for that
    assert overview.status(rig.store).pipelines["line"].eta_s == whole


def test_what_still_runs_makes_the_forecast_later(rig, pipeline):
    rig.apply(pipeline(a=()))
    push(rig, **{f"k{n:02}": 1_000_000 for n in range(12)})
    worker = rig.worker(slots=2)
    tasks = rig.claim(worker, limit=4)
    for task in tasks[:2]:
        took(rig, task, 10)
    look(rig)
    before = overview.status(rig.store).pipelines["line"].eta_s
    with rig.store.writing() as unit:
        hour_ago = unit.now_us - 3600 * SECOND
        unit.execute(tables.attempt.update().values(claimed_us=hour_ago))
    in_hand = overview.status(rig.store).pipelines["line"].eta_s
    assert in_hand == pytest.approx(before, rel=0.2), "it has not started"
    with rig.store.writing() as unit:
        unit.execute(tables.attempt.update().values(started_us=hour_ago))
    assert overview.status(rig.store).pipelines["line"].eta_s > 5 * before


def test_of_a_service_only_the_time_between_first_start_and_last_end_counts(rig, pipeline):
    rig.apply(pipeline(a=()))
    with rig.store.reading() as unit:
        since_us = unit.now_us - 100 * SECOND
    push(rig, a=1, b=1, c=1)
    worker = rig.worker(slots=2)
    with rig.store.writing() as unit:
        unit.execute(tables.worker.update().values(started_us=since_us))
    first, second, third = rig.claim(worker, limit=3)
    took(rig, first, 10)
    took(rig, second, 20)
    found = utilisation.busy_since(rig.store, since_us, while_worked=True)
    assert found.share == pytest.approx(0.75, abs=0.01)
    assert found.worked_s == pytest.approx(20, abs=0.1)
    assert utilisation.busy_since(rig.store, since_us).share < 0.5
    assert utilisation.busy_since(rig.store, since_us + 1000 * SECOND, while_worked=True) is None
    rig.end(third)


def test_how_busy_the_slots_were_is_asked_in_as_many_statements_whatever_the_number_of_items(
    rig, pipeline, monkeypatch
):
    rig.apply(pipeline(a=()))
    keys = [f"k{n}" for n in range(12)]
    push(rig, **dict.fromkeys(keys, 1))
    with rig.store.reading() as unit:
        since_us = unit.now_us - SECOND
    for task in rig.claim(rig.worker(slots=2), limit=12):
        took(rig, task, 1)
    statements, run = [], Unit.run
    monkeypatch.setattr(Unit, "run", lambda *a, **k: statements.append(a) or run(*a, **k))
    found = utilisation.busy_since(rig.store, since_us)
    assert found.slots == 2
    assert len(statements) <= 3


def test_counts_without_forecasts_are_those_of_status(rig, pipeline, monkeypatch):
    rig.apply(pipeline(a=(), b=("a",)))
    push(rig, x=1, y=1, z=1)
    first, second = rig.claim(rig.worker(), limit=2)
    rig.end(first)
    rig.end(second, AttemptState.FAILED)
    (one,) = overview.status(rig.store).pipelines.values()
    monkeypatch.setattr(open_work, "forecasts", lambda *_: pytest.fail("reckoned"))
    counts = overview.task_counts(rig.store)
    assert counts == dict(one.tasks)
    assert (counts["done"], counts["failed"]) == (1, 1)


def test_a_fit_is_read_as_it_was_written_and_so_is_one_of_an_older_version():
    found = fit([Observation(n * 1_000_000, 1.0 + n) for n in range(1, 40)])
    text = estimates.dump_fit(found)
    assert estimates.dump_fit(estimates.load_fit(text)) == text
    older = json.loads(text)
    for name in ("low", "spread", "failing"):
        del older[name]
    assert estimates.load_fit(json.dumps(older)).wrong_by(1_000, 0.0, 1.0) < 1
