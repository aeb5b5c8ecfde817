"""A new version whose tasks follow it some at a time: nothing is claimed wrongly, or lost, meanwhile."""

import dataclasses

import pytest
from sqlalchemy import select

from stoker.model.pipeline import Output, Run, Step
from stoker.model.states import AttemptState
from stoker.model.task import Published
from stoker.model.worker import WorkLeft
from stoker.project.project import open_project
from stoker.project.services import janitor
from stoker.store import tables
from stoker.store.holdings import temporary
from stoker.store.orders import new_version, verbs, versions
from stoker.store.reports.why_waiting import why
from store.rig import ME, Rig

KEYS = tuple("abcdefg")


class Died(Exception):
    """The process died here."""


@pytest.fixture
def broken(monkeypatch):
    """Whoever sets a version dies after so many transactions of two items."""
    left = []

    def hit(_name):
        if left and left.pop() == 0:
            raise Died

    def dies(after):
        left[:] = range(after)

    monkeypatch.setattr(new_version, "BATCH", 2)
    monkeypatch.setattr(new_version, "hit", hit)
    return dies


@pytest.fixture
def line(rig, pipeline):
    rig.apply(pipeline(one=(), two=("one",), three=("two",)))
    rig.push(*KEYS)
    return rig


@pytest.fixture
def changed(pipeline):
    """`two` is gone; `mid` came, and `three` waits for it and for the new `end` of `one`."""
    return pipeline(one=(), mid=("one",), end=("one",), three=("mid", "end"))


def unsettled(rig) -> set[str]:
    """The names of the steps whose tasks have not followed yet."""
    marked = select(tables.step.c.name).join(tables.unsettled_step)
    with rig.store.reading() as unit:
        return set(unit.execute(marked).scalars())


def go_on(rig) -> bool:
    """One more transaction; return whether all was done before."""
    return new_version.settle(rig.store, limit_s=0)


@pytest.mark.parametrize("after", [1, 3, 8])
def test_what_a_crash_left_is_claimed_only_once_it_has_followed(line, changed, broken, after):
    worker, done = line.worker(), []
    broken(after)
    with pytest.raises(Died):
        line.apply(changed)
    broken(0)
    for number in range(30):
        line.check()
        if number % 2 == 0:
            marked = unsettled(line)
            for task in line.claim(worker, 2):  # predecessors end between two transactions
                assert task.step not in marked
                done.append((task.key, task.step))
                line.end(task)
        if number == 3:
            line.push("aa", "zz")
        if number == 5 and done:
            key = done[0][0]
            selection = line.select(keys=(key,), steps=("one",))
            assert verbs.rerun(line.store, selection, ME).changed["rerun"] == 1
            done = [pair for pair in done if pair[0] != key]
        if go_on(line):
            break
    else:
        pytest.fail("it does not come to its end")
    done += line.work(worker)
    assert len(done) == len(set(done)) == 4 * (len(KEYS) + 2)
    for key in KEYS:
        order = [step for item, step in done if item == key]
        assert (order[0], order[-1]) == ("one", "three")
    states = line.states()
    assert {states[key, "two"] for key in KEYS} == {"cancelled"}
    assert line.counts()[1] == {"done": len(KEYS) + 2}
    line.check()


def test_a_further_version_begins_again_where_one_was_cut_short(line, pipeline, changed, broken):
    for after in (2, 9, 14):
        broken(after)
        with pytest.raises(Died):
            line.apply(changed)
        broken(after)
        with pytest.raises(Died):
            line.apply(pipeline(one=(), two=("one",), three=("two",)))
    broken(0)
    assert not line.apply(pipeline(one=(), two=("one",), three=("two",))).is_new
    done = line.work(line.worker())
    assert len(done) == 3 * len(KEYS)
    assert [step for key, step in done if key == "a"] == ["one", "two", "three"]
    line.check()


def test_the_state_of_an_item_does_not_depend_on_a_step_that_is_gone(line, pipeline):
    verbs.cancel(line.store, line.select(keys=("a",), steps=("two",)), ME)
    line.apply(pipeline(one=(), three=("one",)))
    line.work(line.worker())
    assert line.counts()[1] == {"done": len(KEYS)}
    line.check()


def test_nobody_ends_while_tasks_have_to_follow(line, changed, broken):
    worker = line.worker()
    line.work(worker)
    broken(5)  # four for `two`, which is gone
    with pytest.raises(Died):
        line.apply(changed)
    assert not line.claim(worker)
    assert line.link.anything_left().waiting
    assert not line.link.has_nothing_for(worker, cpus_free=4, memory_free_bytes=1 << 33)
    assert why(line.store, "a", "mid").kind == "new_version"
    janitor.tidy_once(line.store)
    assert line.link.anything_left() == WorkLeft(ready=True, running=False, waiting=False)
    assert why(line.store, "a", "mid").kind != "new_version"
    assert len(line.work(worker)) == 2 * len(KEYS)
    line.check()


def test_a_temporary_output_is_kept_for_a_step_that_has_no_tasks_yet(rig, pipeline, broken):
    temp = (Output(name="x", to="x/{key}", temp=True),)
    one = Step(name="one", action=Run(text="true"), outputs=temp)
    rig.apply(pipeline(one, two=("one",)))
    rig.push("a", "b", "c", "d")
    worker = rig.worker()
    for task in rig.claim(worker, 4):
        path = Published(name="x", path=f"/x/{task.key}", size_bytes=1, checksum="xxh3:0")
        rig.end(task, outputs=(path,))
    broken(1)
    with pytest.raises(Died):
        rig.apply(pipeline(one, two=("one",), new=("one",)))
    for task in rig.claim(worker, 4):
        assert task.step == "two"
        rig.end(task)
    assert temporary.expire(rig.store, lambda *_: pytest.fail("it is needed")) == 0
    janitor.tidy_once(rig.store)
    assert temporary.expire(rig.store, lambda *_: pytest.fail("it is needed")) == 0
    rig.work(worker)
    assert temporary.expire(rig.store, lambda *_: lambda: None) == 4


PROJECT = """
[pipelines.p]
items = "records"
[pipelines.p.steps.one]
argv = ["true"]
"""
SECOND = """
[pipelines.p.steps.two]
after = ["one"]
argv = ["true"]
"""


def test_the_next_command_goes_on_where_one_was_cut_short(tmp_path, monkeypatch):
    file = tmp_path / "stoker.toml"
    file.write_text(PROJECT)
    with open_project(tmp_path) as project:
        project.push("p", ["a", "b", "c"])
    file.write_text(PROJECT + SECOND)
    with monkeypatch.context() as died, open_project(tmp_path) as project:
        died.setattr(versions, "settle", lambda _store: None)
        project.apply()
        assert unsettled(Rig(project.store)) == {"two"}
    with open_project(tmp_path) as project:
        project.push("p", ["a"])
        rig = Rig(project.store)
        assert not unsettled(rig)
        assert len(rig.states()) == 6
        rig.check()


@pytest.mark.parametrize("how", ["failed", "failed and retried", "lost", "given back"])
def test_what_ran_or_failed_waits_for_a_step_that_came_before_it(rig, pipeline, how):
    before = Step(
        name="two", retries=int(how != "failed and retried"), backoff_s=0, action=Run(text="x")
    )
    rig.apply(pipeline(before))
    rig.push("a")
    worker = rig.worker()
    (task,) = rig.claim(worker)
    if how == "failed and retried":
        rig.end(task, AttemptState.FAILED)
    new = Step(name="new", action=Run(text="x"))
    rig.apply(pipeline(new, dataclasses.replace(before, after=("new",))))
    if how == "failed":
        rig.end(task, AttemptState.FAILED)
    elif how == "failed and retried":
        done = verbs.retry(rig.store, rig.select(), ME)
        assert done.changed == {"retry_blocked": 1}
    elif how == "lost":
        rig.lapse(worker)
        rig.link.reap()
    else:
        rig.link.give_back([task])
    assert rig.states() == {("a", "new"): "ready", ("a", "two"): "blocked"}
    rig.check()
    assert rig.work(rig.worker()) == [("a", "new"), ("a", "two")]
    rig.check()
