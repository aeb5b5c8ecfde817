"""Whose cpus and memory a worker shares: its host's, a batch job's, a control group's, or a few cpus."""

import threading

import pytest

from stoker.model.pipeline import Run, Step
from stoker.model.states import WorkerState
from stoker.store.apply import end_worker
from stoker.store.claims import capacity
from stoker.store.database.connect import open_store
from stoker.store.reports import overview, why_waiting

GIB = 1 << 30


def steps(**more) -> Step:
    return Step(name="s", action=Run(text="true"), **more)


@pytest.fixture
def full(rig, pipeline):
    """A store with a dozen ready tasks of one cpu."""
    rig.apply(pipeline(steps()))
    rig.push(*(f"k{n:02}" for n in range(12)))
    return rig


@pytest.mark.parametrize(
    ("used", "theirs", "ours", "lost"),
    [
        (1, "1", "2", 0),  # pinned to different cpus
        (1, "1", "1", 1),
        (4, "ff", "3", 0),  # the six others are enough for them
        (8, "ff", "3", 2),
        (7, "ff", "3", 1),
        (2, "3", "ff", 2),
        (2, "6", "3", 1),
        (4, "1", "2", 0),  # they run more than they have cpus: on their own
        (3, "", "1", 3),  # whose cpus are not known
        (3, "1", "", 3),
    ],
)
def test_cpus_are_lost_to_others_where_both_may_run(used, theirs, ours, lost):
    assert capacity.shared_cpus(used, theirs, ours) == lost


def test_workers_pinned_to_different_cpus_do_not_starve_each_other(full):
    one, two = (full.worker(slots=1, cpus=1, cpu_mask=mask, name=f"w{mask}") for mask in ("1", "2"))
    assert len(full.claim(one, 1, 1)) == 1
    assert len(full.claim(two, 1, 1)) == 1


def test_workers_of_different_batch_jobs_do_not_share(full):
    jobs = [full.worker(slots=4, room_key=f"rig:{job}", cpus=4) for job in (1, 2)]
    assert [len(full.claim(job, 4, 4)) for job in jobs] == [4, 4]


def test_workers_of_one_batch_job_share_what_it_has(full):
    one, two = (full.worker(slots=4, room_key="rig:1", cpus=4) for _ in range(2))
    granted = full.link.claim(one, limit=4, cpus_free=4)
    assert (len(granted.tasks), granted.is_crowded) == (4, False)
    granted = full.link.claim(two, limit=4, cpus_free=4)
    assert (granted.tasks, granted.is_crowded) == ([], True)


@pytest.mark.parametrize(
    ("slots", "masks", "crowding"),
    [
        (4, ["f"], 1.0),
        (4, ["f", "f"], 2.0),
        (1, ["f", "f", "f", "f"], 1.0),
        (4, ["f", "c", ""], 3.0),
        (2, ["3", "c"], 1.0),
    ],
)
def test_a_claim_reports_how_often_its_cpus_are_promised(full, slots, masks, crowding):
    first, *_ = [full.worker(slots=slots, cpus=4, cpu_mask=mask, room_key="x") for mask in masks]
    full.worker(slots=4, cpus=4, cpu_mask="f", room_key="y")
    for free in (slots, 0):
        granted = full.link.claim(first, limit=1, cpus_free=free)
        assert granted.crowding == crowding


@pytest.mark.parametrize(
    "database",
    [
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ],
    indirect=True,
)
def test_one_claims_at_a_time_in_a_place_also_while_its_oldest_worker_ends(full, url):
    """By one lock for all of the place's workers, not by one for each."""
    oldest, *_ = [full.worker(slots=1, name=f"w{n}") for n in range(3)]
    order, may_end = [], threading.Event()
    locked = [threading.Event(), threading.Event()]

    def claim(n):
        store = open_store(url)
        with store.writing() as unit:
            unit.run(capacity._PLACE, host="host", room_key="").fetchall()
            order.append(n)
            locked[n].set()
            assert may_end.wait(60)
            order.append(n)
        store.close()

    threads = [threading.Thread(target=claim, args=(n,)) for n in range(2)]
    with full.store.writing() as unit:
        (row,) = unit.run(capacity._PLACE, host="host", room_key="").fetchall()
        assert row[0] == oldest
        end_worker(unit, oldest, WorkerState.ENDED)
        threads[0].start()
        assert not locked[0].wait(0.3)
    assert locked[0].wait(60)
    threads[1].start()
    assert not locked[1].wait(0.3)
    may_end.set()
    for thread in threads:
        thread.join(60)
    assert order == [0, 0, 1, 1]


def test_memory_is_shared_within_a_place_only(rig, pipeline):
    rig.apply(pipeline(steps(memory_bytes=(3 * GIB,))))
    rig.push("a", "b", "c")
    one, two = (
        rig.worker(slots=1, cpus=1, cpu_mask=mask, memory_bytes=4 * GIB) for mask in ("1", "2")
    )
    assert len(rig.claim(one, 1, 1, memory_free_bytes=4 * GIB)) == 1
    assert rig.claim(two, 1, 1, memory_free_bytes=4 * GIB) == []
    apart = rig.worker(slots=1, cpus=1, room_key="rig:9", memory_bytes=4 * GIB)
    assert len(rig.claim(apart, 1, 1, memory_free_bytes=4 * GIB)) == 1


def test_what_one_place_keeps_for_a_large_task_is_not_kept_in_another(rig, pipeline, monkeypatch):
    from stoker.store.claims import passing

    monkeypatch.setattr(passing, "PATIENCE_US", 0)
    rig.apply(pipeline(steps(), Step(name="large", action=Run(text="true"), cpus=4)))
    rig.push(*(f"k{n}" for n in range(9)))
    other, small = rig.worker(slots=4, room_key="rig:1"), rig.worker(slots=1, room_key="rig:2")
    for _ in range(3):
        taken = rig.claim(other, 1, 3)  # too few cpus for a large one, again and again
    assert taken == []
    assert [one.step for one in rig.claim(small, 1, 1)] == ["s"]


def test_why_names_those_that_fill_the_place(full):
    one = full.worker(slots=4, room_key="rig:1", name="first")
    full.worker(slots=2, room_key="rig:1", name="second")
    full.claim(one, 4, 4)
    said = why_waiting.why(full.store, "k11")
    assert said.kind == "capacity"
    assert "needs 1 cpu; on `host (rig:1)` worker `second` has 0 cpus left" in said.text
    assert "filled by `first` on `host`" in said.text


def test_why_says_that_a_pinned_worker_takes_it(full):
    one = full.worker(slots=1, cpus=1, cpu_mask="1", name="first")
    full.worker(slots=1, cpus=1, cpu_mask="2", name="second")
    full.claim(one, 1, 1)
    assert why_waiting.why(full.store, "k11").kind == "next"


def test_attempts_and_workers_show_their_batch_job(full):
    job = full.worker(slots=4, room_key="rig:1", batch_id="rig:1.0")
    full.claim(job, 1, 4)
    assert [one.batch_id for one in overview.workers(full.store)] == ["rig:1.0"]
    full.check()


def test_a_mask_that_is_too_long_for_its_column_takes_in_all(full):
    one, two = (full.worker(slots=1, cpus=1, cpu_mask=digit * 400) for digit in "12")
    assert len(full.claim(one, 1, 1)) == 1
    assert full.claim(two, 1, 1) == []
