"""Attempts that come too late, workers that die: nothing counts twice, nothing is lost."""

import pytest
from sqlalchemy import select

from stoker.errors import StaleAttempt, WrongState
from stoker.model import retry, transitions
from stoker.model.pipeline import Run, Step
from stoker.model.pool import Pool
from stoker.model.states import AttemptState, TaskState
from stoker.model.worker import Reaped
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.apply import Move, move
from stoker.store.orders import verbs
from stoker.store.reports import lists
from store.rig import set_pools, wanted

ME = Actor("tester")


@pytest.fixture
def line(rig, pipeline):
    rig.apply(pipeline(one=(), two=("one",)))
    rig.push("a")
    return rig


def test_a_result_that_is_delivered_again_is_recorded_once(line):
    (task,) = line.claim(line.worker())
    assert line.end(task)
    assert line.end(task)  # the answer to the first delivery may have been lost
    assert line.events().count("succeed") == 1
    line.check()


def test_another_result_of_an_ended_attempt_does_not_count(line):
    (task,) = line.claim(line.worker())
    assert line.end(task)
    assert not line.end(task, AttemptState.FAILED)
    assert not line.end(task, ended_us=task.claimed_us + 3)
    assert line.states()["a", "one"] == "done"
    line.check()


def test_a_delivery_again_of_an_attempt_that_was_lost_since_does_not_count(line):
    worker = line.worker()
    (task,) = line.claim(worker)
    line.lapse(worker)
    line.link.reap()
    assert not line.end(task)
    assert not line.end(task)
    line.check()


def test_a_result_delivered_twice_in_one_batch_counts_once(line):

    (task,) = line.claim(line.worker())
    line.link.finish([line.result(task), line.result(task)])
    assert line.events().count("succeed") == 1
    line.check()


def test_a_lapsed_lease_gives_the_task_to_another(line):
    first, second = line.worker(), line.worker(host="other")
    (task,) = line.claim(first)
    line.lapse(first)
    assert line.link.reap() == Reaped(workers=1, attempts=1)
    (again,) = line.claim(second)
    assert again.number == 2
    assert again.tries == 0
    assert not line.end(task)
    assert line.states()["a", "one"] == "running"
    assert line.end(again)
    line.check()


def test_a_dead_worker_claims_nothing_and_is_told(line):
    worker = line.worker()
    line.lapse(worker)
    line.link.reap()
    with pytest.raises(StaleAttempt):
        line.claim(worker)
    assert not line.link.renew(worker, lease_s=10).is_alive


def test_a_renewed_lease_is_not_reaped(line):
    worker = line.worker(lease_s=0.001)
    assert line.link.renew(worker, lease_s=60).is_alive
    assert line.link.reap().workers == 0


def test_a_worker_known_to_be_dead_is_not_waited_for(line):
    worker = line.worker()
    line.claim(worker)
    assert line.link.reap(dead_workers=[worker]).attempts == 1
    line.check()


def test_an_item_that_kills_its_workers_is_stopped(line):
    for _ in range(3):
        worker = line.worker()
        line.claim(worker)
        line.lapse(worker)
        line.link.reap()
    assert line.states()["a", "one"] == "failed"
    line.check()


def test_what_ran_beside_an_item_that_kills_its_workers_is_not_stopped_with_it(line):
    """Which one it is shows once they start one after the other."""
    line.push("b")
    for _ in range(2):
        worker = line.worker()
        assert len(line.claim(worker, 2)) == 2
        line.lapse(worker)
        line.link.reap()
    worker = line.worker()
    latest = max(line.claim(worker, 2), key=lambda one: one.attempt)
    line.lapse(worker)
    line.link.reap()
    assert {line.states()[key, "one"] for key in "ab"} == {"ready"}
    worker = line.worker()
    (alone,) = line.claim(worker, 2)
    assert alone.key == latest.key
    line.lapse(worker)
    line.link.reap()
    other = "ab".replace(alone.key, "")
    assert line.states()[alone.key, "one"] == "failed"
    assert line.states()[other, "one"] == "ready"
    task = tables.task
    with line.store.writing() as unit:  # its time has come
        due = {"not_before_us": unit.now_us - 1}
        unit.execute(task.update().where(task.c.not_before_us.is_not(None)).values(**due))
    assert line.link.promote_due() == 1
    (again,) = line.claim(line.worker())
    line.end(again)
    assert line.states()[other, "one"] == "done"
    line.check()


def test_a_task_never_fails_as_its_batch_jobs_end_without_a_signal(line):
    def lose(times):
        worker = line.worker(room_key="rig:1", batch_id=f"rig:1.{times}")
        (task,) = line.claim(worker)
        line.lapse(worker)
        line.link.reap()
        assert task.key == "a"

    for times in range(1, retry.MOST_LOST):
        lose(times)
        assert line.states()["a", "one"] == "ready", times
    lose(retry.MOST_LOST)
    assert line.states()["a", "one"] == "held"
    (task,) = lists.tasks(line.store, line.select(states=("held",)))
    assert task.reason.startswith(f"held: it was lost {retry.MOST_LOST} times with its batch job")
    line.check()
    verbs.release(line.store, line.select(), ME)
    for times in range(1, retry.MOST_LOST):
        lose(times)
        assert line.states()["a", "one"] == "ready", "it has a fresh allowance"
    (again,) = line.claim(line.worker())
    line.end(again)
    assert line.states()["a", "one"] == "done"
    line.check()


def test_whoever_runs_beside_a_suspect_is_not_held_to_account(line):
    for _ in range(2):
        worker = line.worker()
        line.claim(worker)
        line.lapse(worker)
        line.link.reap()
    line.push("b")
    worker = line.worker()
    assert len(line.claim(worker, 2)) == 2
    line.lapse(worker)
    line.link.reap()
    assert line.states()["a", "one"] == "failed"
    query = select(tables.task.c.lost).where(tables.task.c.state == TaskState.READY.value)
    with line.store.reading() as unit:
        assert unit.execute(query).scalar_one() == 0
    line.check()


def test_renewing_tells_what_is_still_the_workers(line):
    worker = line.worker()
    (task,) = line.claim(worker)
    renewal = line.link.renew(worker, lease_s=10)
    assert renewal.running == {task.attempt}
    assert renewal.cancel == frozenset()


def test_only_what_carries_the_task_may_publish(line):
    worker = line.worker()
    (task,) = line.claim(worker)
    line.link.reserve(task.attempt, task.task_id, [wanted("/o/x")])
    line.lapse(worker)
    line.link.reap()
    with pytest.raises(StaleAttempt):
        line.link.reserve(task.attempt, task.task_id, [wanted("/o/x")])
    (again,) = line.claim(line.worker())
    line.link.reserve(again.attempt, again.task_id, [wanted("/o/x")])


def test_the_writer_of_states_refuses_what_the_table_does_not_have(line):
    (task,) = line.claim(line.worker())
    one = Move(task.task_id, TaskState.DONE, "line", "a", "one", 1, task.attempt)
    with pytest.raises(WrongState, match="is done"), line.store.writing() as unit:
        move(unit, transitions.FAIL, [one])


def test_the_writer_of_states_changes_nothing_where_one_row_is_off(line):
    line.push("b")
    worker = line.worker()
    first, second = line.claim(worker, 2)
    rows = [
        Move(first.task_id, TaskState.RUNNING, "line", "a", "one", 1, first.attempt),
        Move(second.task_id, TaskState.RUNNING, "line", "b", "one", 1, first.attempt),
    ]
    with pytest.raises(StaleAttempt), line.store.writing() as unit:
        move(unit, transitions.FAIL, rows)
    assert set(line.states().values()) == {"running", "blocked"}
    line.check()


@pytest.fixture
def pooled(rig, pipeline):
    step = Step(name="one", action=Run(text="x"), pools={"ram": 1, "gpu": 2})
    rig.apply(pipeline(step))
    set_pools(
        rig.store,
        [Pool(name="ram", slots=("0", "1")), Pool(name="gpu", slots=("a", "b", "c", "d"))],
    )
    rig.push("a", "b", "c")
    return rig


def test_pools_bound_what_runs(pooled):
    worker = pooled.worker()
    tasks = pooled.claim(worker, 10)
    assert [dict(task.slots) for task in tasks] == [
        {"gpu": ("a", "b"), "ram": ("0",)},
        {"gpu": ("c", "d"), "ram": ("1",)},
    ]
    assert pooled.claim(worker, 10) == []
    pooled.end(tasks[0])
    assert len(pooled.claim(worker, 10)) == 1
    pooled.check()


def test_slots_of_the_dead_come_back(pooled):
    worker = pooled.worker()
    assert len(pooled.claim(worker, 10)) == 2
    pooled.lapse(worker)
    pooled.link.reap()
    assert len(pooled.claim(pooled.worker(), 10)) == 2
    pooled.check()


def test_slots_stay_with_a_fenced_attempt_until_its_process_is_gone(pooled):
    from stoker.model.item import NewItem
    from stoker.store.arrivals import register

    worker = pooled.worker()
    first, _second = pooled.claim(worker, 2)
    changed = NewItem(key=first.key, path=f"/data/{first.key}", fingerprint="new")
    assert register.register(pooled.store, "line", [changed], ME).changed == 1
    assert pooled.claim(worker, 5) == []
    renewal = pooled.link.renew(worker, lease_s=10)
    assert first.attempt not in renewal.running
    assert not pooled.end(first, AttemptState.CANCELLED)
    assert len(pooled.claim(worker, 5)) == 1
    pooled.check()


def test_slots_of_a_fenced_attempt_of_a_dead_worker_come_back(pooled):
    from stoker.model.item import NewItem
    from stoker.store.arrivals import register

    worker = pooled.worker()
    first, _second = pooled.claim(worker, 2)
    changed = NewItem(key=first.key, path=f"/data/{first.key}", fingerprint="new")
    register.register(pooled.store, "line", [changed], ME)
    pooled.lapse(worker)
    pooled.link.reap()
    with pooled.store.reading() as unit:
        slot = tables.slot
        held = unit.execute(slot.select().where(slot.c.attempt.is_not(None))).fetchall()
    assert held == []
    pooled.check()


def test_a_worker_is_gone_once_its_lease_has_run_out_or_it_has_ended(rig):
    """Whose scratch another host's boot left is cleared then, and not before."""
    alive, lapsed, ended = rig.worker(), rig.worker(), rig.worker()
    rig.lapse(lapsed)
    rig.link.retire(ended)
    gone = {worker: rig.link.is_gone(worker) for worker in (alive, lapsed, ended, 999)}
    assert gone == {alive: False, lapsed: True, ended: True, 999: True}
