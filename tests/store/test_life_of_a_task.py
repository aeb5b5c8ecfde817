"""The way of a task from registration to done, on every database."""

import pytest
from sqlalchemy import select

from stoker.errors import NotFound
from stoker.model.item import NewItem
from stoker.model.pipeline import Run, Step, Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Published, Stream
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.database.connect import opened
from store.rig import Rig, pairs, wait_us

ME = Actor("tester")


def test_an_item_has_a_task_for_every_step(rig, pipeline):
    rig.apply(pipeline(one=(), two=("one",)))
    assert rig.push("a", "b").registered == 2
    assert rig.states() == {
        ("a", "one"): "ready",
        ("a", "two"): "blocked",
        ("b", "one"): "ready",
        ("b", "two"): "blocked",
    }
    rig.check()


def test_registering_twice_registers_once(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a")
    again = rig.push("a", "a", "b")
    assert (again.registered, again.known) == (1, 2)
    rig.check()


def test_registering_into_no_pipeline_names_it(rig):
    with pytest.raises(NotFound, match="`line`"):
        rig.push("a")


def test_a_rehearsed_registration_changes_nothing(rig, pipeline):
    rig.apply(pipeline(one=()))
    done = register.register(rig.store, "line", [NewItem(key="a", path="/a")], ME, dry_run=True)
    assert done.registered == 1
    assert rig.states() == {}


def test_tasks_are_claimed_in_order_of_priority_then_arrival(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a", "b")
    rig.push("urgent", priority=5)
    rig.push("later", priority=-1)
    tasks = rig.claim(rig.worker(), 10)
    assert [task.key for task in tasks] == ["urgent", "a", "b", "later"]


def test_order_holds_across_steps(rig, pipeline):
    rig.apply(pipeline(one=(), other=()))
    rig.push("a")
    rig.push("urgent", priority=1)
    keys = [task.key for task in rig.claim(rig.worker(), 3)]
    assert keys == ["urgent", "urgent", "a"]


def test_the_whole_way(rig, pipeline):
    rig.apply(pipeline(one=(), left=("one",), right=("one",), both=("left", "right")))
    rig.push("a", "b")
    worker = rig.worker()
    done = rig.work(worker)
    assert len(done) == 8
    for key in "ab":
        order = [step for of, step in done if of == key]
        assert order[0] == "one"
        assert order[-1] == "both"
    assert set(rig.states().values()) == {"done"}
    assert rig.link.anything_left().is_nothing
    tasks, items = rig.counts()
    assert tasks == {
        ("one", "done"): 2,
        ("left", "done"): 2,
        ("right", "done"): 2,
        ("both", "done"): 2,
    }
    assert items == {"done": 2}
    rig.check()


def test_two_predecessors_finished_in_one_batch_make_the_successor_ready_once(rig, pipeline):
    rig.apply(pipeline(left=(), right=(), both=("left", "right")))
    rig.push("a")
    tasks = rig.claim(rig.worker(), 5)
    assert not rig.link.finish([rig.result(task) for task in tasks])
    assert rig.states()["a", "both"] == "ready"
    assert rig.events().count("unblock") == 1
    rig.check()


def test_a_successor_is_told_what_its_predecessors_left(rig, pipeline):
    rig.apply(pipeline(one=(), two=("one",)))
    rig.push("a")
    worker = rig.worker()
    (first,) = rig.claim(worker)
    outputs = (
        Published(name="x", path="/out/x", size_bytes=3, checksum="xxh3:0"),
        Published(name="many", path="/out/1\udcff", size_bytes=1, checksum="xxh3:1"),
        Published(name="many", path="/out/2", size_bytes=1, checksum="xxh3:2"),
    )
    rig.end(first, outputs=outputs, values={"n": 3})
    (second,) = rig.claim(worker)
    left = second.produced["one"]
    assert left.outputs == {"x": ("/out/x",), "many": ("/out/1\udcff", "/out/2")}
    assert left.values == {"n": 3}
    assert left.attempt == first.attempt
    rig.check()


def test_a_failure_is_retried_as_often_as_the_step_says_then_fails(rig, pipeline):
    step = Step(name="one", action=Run(text="false"), retries=2, backoff_s=0)
    rig.apply(pipeline(step))
    rig.push("a")
    worker = rig.worker()
    for number in (1, 2, 3):
        (task,) = rig.claim(worker)
        assert task.number == number
        rig.end(task, AttemptState.FAILED, reason="no", cause="no")
    assert rig.claim(worker) == []
    assert rig.states() == {("a", "one"): "failed"}
    rig.check()


def test_a_retry_waits_for_its_back_off(rig, pipeline):
    rig.apply(pipeline(Step(name="one", action=Run(text="false"), retries=1, backoff_s=0.05)))
    rig.push("a")
    worker = rig.worker()
    (task,) = rig.claim(worker)
    rig.end(task, AttemptState.FAILED)
    assert rig.claim(worker) == []
    assert rig.link.anything_left().waiting
    due = rig.link.next_due_us()
    assert due is not None
    rig.check()
    wait_us(rig.store, due)
    assert rig.link.promote_due() == 1
    (again,) = rig.claim(worker)
    assert again.tries == 1
    rig.check()


def test_later_uses_up_no_retry(rig, pipeline):
    rig.apply(pipeline(Step(name="one", action=Run(text="x"), backoff_s=0)))
    rig.push("a")
    worker = rig.worker()
    for _ in range(4):
        (task,) = rig.claim(worker)
        rig.end(task, AttemptState.FAILED, verdict=Verdict.LATER)
    assert rig.states() == {("a", "one"): "ready"}
    rig.check()


def test_a_final_verdict_spends_no_retry(rig, pipeline):
    rig.apply(pipeline(Step(name="one", action=Run(text="x"), retries=5)))
    rig.push("a")
    (task,) = rig.claim(rig.worker())
    rig.end(task, AttemptState.FAILED, verdict=Verdict.FAIL)
    assert rig.states() == {("a", "one"): "failed"}


def test_skipped_counts_as_done_for_successors(rig, pipeline):
    rig.apply(pipeline(one=(), two=("one",)))
    rig.push("a", "b", "c")
    worker = rig.worker()
    by_exit, by_condition, good = rig.claim(worker, 3)
    rig.end(good)
    rig.end(by_exit, verdict=Verdict.SKIP)
    rig.end(by_condition, AttemptState.CANCELLED, verdict=Verdict.SKIP, reason="`when` is false")
    assert rig.states()["a", "one"] == rig.states()["b", "one"] == "skipped"
    after = rig.claim(worker, 3)
    left_nothing = {task.key: task.produced["one"].left_nothing for task in after}
    assert left_nothing == {"a": True, "b": True, "c": False}
    for task in after:
        rig.end(task)
    assert rig.counts()[1] == {"done": 3}
    rig.check()


def test_stop_ends_the_item_here(rig, pipeline):
    rig.apply(pipeline(one=(), two=("one",), three=("two",), aside=()))
    rig.push("a")
    worker = rig.worker()
    one = next(task for task in rig.claim(worker, 2) if task.step == "one")
    rig.end(one, verdict=Verdict.STOP)
    states = rig.states()
    assert states["a", "two"] == states["a", "three"] == "skipped"
    assert states["a", "aside"] == "running"
    rig.check()


def test_what_is_given_back_is_ready_for_others_and_spends_nothing(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a")
    tasks = rig.claim(rig.worker())
    rig.link.give_back(tasks)
    (again,) = rig.claim(rig.worker(host="other"))
    assert pairs([again]) == [("a", "one")]
    assert (again.number, again.tries) == (2, 0)
    rig.check()


def test_more_memory_is_asked_for_after_running_out(rig, pipeline):
    step = Step(
        name="one", action=Run(text="x"), memory_bytes=(1 << 30, 1 << 32), retries=2, backoff_s=0
    )
    rig.apply(pipeline(step))
    rig.push("a")
    worker = rig.worker()
    for level in (0, 1, 1):  # the last one is the most
        (task,) = rig.claim(worker)
        assert task.memory_bytes == step.memory_bytes[level]
        rig.end(task, AttemptState.OUT_OF_MEMORY)
    rig.check()


def test_only_a_task_that_is_held_has_a_reason(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("cut", "bad")
    worker = rig.worker()
    tasks = {one.key: one for one in rig.claim(worker, 2)}
    rig.end(tasks["bad"], AttemptState.FAILED, reason="it broke")
    rig.end(tasks["cut"], AttemptState.CANCELLED, is_cut=True, reason="no time left")
    (again,) = rig.claim(worker)
    rig.end(again, AttemptState.CANCELLED, is_cut=True, reason="no time left")
    assert rig.states() == {("cut", "one"): "held", ("bad", "one"): "failed"}
    item, task = tables.item, tables.task
    with rig.store.reading() as unit:
        ends = item.join(task, task.c.item_id == item.c.id)
        query = select(item.c.key, task.c.reason).select_from(ends)
        reasons = {row.key: row.reason for row in unit.execute(query)}
    assert reasons == {"cut": "held: no time left", "bad": None}
    rig.check()


def test_what_does_not_fit_is_passed_over(rig, pipeline):
    big = Step(name="big", action=Run(text="x"), cpus=3)
    small = Step(name="small", action=Run(text="x"))
    rig.apply(pipeline(big, small))
    rig.push("a")
    assert pairs(rig.claim(rig.worker(), 5, cpus=2)) == [("a", "small")]


def test_workers_on_one_host_share_its_cpus(rig, pipeline):
    rig.apply(pipeline(Step(name="one", action=Run(text="x"), cpus=3)))
    rig.push("a", "b", "c")
    first, second = rig.worker(), rig.worker()
    other = rig.worker(host="elsewhere")
    assert len(rig.claim(first)) == 1
    assert rig.claim(second) == []
    assert len(rig.claim(other)) == 1


def test_keys_and_paths_of_any_bytes_come_back_as_they_were(rig, pipeline):
    rig.apply(pipeline(one=()))
    name = "a b'\"$(x)\\\n\udcff"
    item = NewItem(key="k", path=f"/data/{name}", params={"p": [1, "ü"]}, meta={"m": None})
    register.register(rig.store, "line", [item], ME)
    (task,) = rig.claim(rig.worker())
    assert task.path == item.path
    assert (task.params, task.meta) == (item.params, item.meta)
    rig.check()


def test_two_paths_of_one_key_are_a_conflict(rig, pipeline, tmp_path):
    """While there is a file at the first one."""
    rig.apply(pipeline(one=()))
    known = tmp_path / "a"
    known.touch()
    register.register(rig.store, "line", [NewItem(key="a", path=str(known))], ME)
    done = register.register(rig.store, "line", [NewItem(key="a", path="/elsewhere/a")], ME)
    assert (done.conflicts, done.registered) == (1, 0)
    assert str(known) in done.messages[0]


def test_one_path_under_two_keys_is_a_conflict(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a")
    done = register.register(rig.store, "line", [NewItem(key="b", path="/data/a")], ME)
    assert (done.conflicts, done.registered) == (1, 0)
    assert "`a`" in done.messages[0]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_an_attempt_said_is_in_its_row(rig, pipeline, stream):
    """Short text, or where the long one is; nothing of a stream that was empty."""
    rig.apply(pipeline(one=()))
    rig.push("a", "b")
    said = {
        "a": Stream(size_bytes=3, text=b"x\xff\0"),
        "b": Stream(size_bytes=99, truncated=True, path="/logs/\udcff"),
    }
    for task in rig.claim(rig.worker(), 2):
        assert rig.end(task, **{stream: said[task.key]})
    attempt, task = tables.attempt, tables.task
    other = {"stdout": "stderr", "stderr": "stdout"}[stream]
    names = [f"{one}_{what}" for one in (other, stream) for what in
             ("size", "truncated", "path", "text")]  # fmt: skip
    with rig.store.reading() as unit:
        ends = attempt.join(task, task.c.id == attempt.c.task_id)
        query = select(*(attempt.c[name] for name in names)).select_from(ends)
        rows = [tuple(row) for row in unit.execute(query.order_by(task.c.item_id))]
    empty = [None] * 4
    assert rows == [
        (*empty, 3, False, None, b"x\xff\0"),
        (*empty, 99, True, b"/logs/\xff", None),
    ]
    rig.check()


def test_an_end_knows_of_a_step_that_another_process_has_just_set(rig, pipeline, url):
    rig.apply(pipeline(one=()))
    rig.push("a", "b")
    first, second = rig.claim(rig.worker(), 2)
    rig.end(first)
    with opened(url) as other:
        Rig(other).apply(pipeline(one=(), two=("one",)))
    rig.end(second)
    assert rig.states()["b", "two"] == "ready"
    rig.check()
