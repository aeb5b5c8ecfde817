"""What a worker that has an end begins: what is expected to be done by then."""

import pytest

from stoker.model.pipeline import Run, Step
from stoker.model.worker import TimeLeft
from stoker.store import journal_fold
from stoker.store.forecasts import estimates
from stoker.store.reports import why_waiting

LATE, EARLY = 100.0, 10_000.0


def learnt(rig, sizes_and_s):
    """The store knows how long attempts on items of these sizes took."""
    for n, (size, took_s) in enumerate(sizes_and_s):
        rig.push(f"old{n:02}", size_bytes=size)
        (task,) = rig.claim(rig.boss, 1, 4)
        rig.end(task, started_us=task.claimed_us, ended_us=task.claimed_us + int(took_s * 1e6))
    journal_fold.fold(rig.store)
    estimates.catch_up(rig.store, limit_s=5)
    estimates.forget(rig.store)


@pytest.fixture
def late(rig, pipeline):
    """A store with one step, and a worker without an end."""
    rig.apply(pipeline(Step(name="s", action=Run(text="true"))))
    rig.boss = rig.worker()
    return rig


def claimed(rig, usable_s, *, is_early=False, limit=8):
    tasks = rig.claim(rig.boss, limit, 4, left=TimeLeft(usable_s, is_early=is_early))
    return [task.key for task in tasks]


def test_what_does_not_fit_is_not_begun(late):
    learnt(late, [(1000, 200.0)] * 5)
    late.push("a", "b", size_bytes=1000)
    assert claimed(late, LATE) == []
    assert claimed(late, EARLY) == ["a", "b"]


def test_of_a_step_with_sizes_what_fits_is_begun(late):
    learnt(late, [(10**6 * n, 10.0 * n) for n in range(1, 31)])
    late.push("large", size_bytes=10**9)
    late.push("small", size_bytes=10**6)
    assert claimed(late, LATE) == ["small"]
    assert claimed(late, 100_000.0) == ["large"]


def test_what_is_not_known_begins_in_the_first_half_only(late):
    late.push("a", size_bytes=1000)
    assert claimed(late, EARLY) == []
    assert claimed(late, EARLY, is_early=True) == ["a"]


def test_what_its_own_limit_ends_in_time_fits(rig, pipeline):
    rig.apply(pipeline(Step(name="s", action=Run(text="true"), timeout_s=50)))
    rig.boss = rig.worker()
    rig.push("a")
    assert claimed(rig, LATE) == ["a"]


def test_why_says_that_no_worker_has_the_time(rig, pipeline):
    rig.apply(pipeline(Step(name="s", action=Run(text="true"))))
    rig.boss = rig.worker()
    learnt(rig, [(1000, 7200.0)] * 5)
    rig.push("a", size_bytes=1000)

    rig.link.retire(rig.boss)
    rig.worker(left_s=1800.0, usable_s=1740.0)
    said = why_waiting.why(rig.store, "a")
    assert said.kind == "no_time"
    assert "no worker has more than 29 min left, nor had 29 min when it began" in said.text
    assert "give workers more time" in said.do
    rig.worker(left_s=1e6, usable_s=1e6)
    assert why_waiting.why(rig.store, "a").kind == "next"


def test_why_says_that_the_unknown_waits_for_a_fresh_worker(rig, pipeline):
    rig.apply(pipeline(Step(name="s", action=Run(text="true"))))
    rig.push("a")
    worker = rig.worker(left_s=3600.0, usable_s=3600.0)
    assert why_waiting.why(rig.store, "a").kind == "next"
    from sqlalchemy import update

    from stoker.store import tables

    with rig.store.writing() as unit:
        before = tables.worker.c.started_us - 7_200_000_000
        unit.execute(
            update(tables.worker).where(tables.worker.c.id == worker).values(started_us=before)
        )
    said = why_waiting.why(rig.store, "a")
    assert (said.kind, "not known yet" in said.text) == ("no_time", True)
