"""What a person changes: hold, release, cancel, retry, rerun; and versions of the pipeline."""

import pytest

from stoker.errors import NotFound, UserError, VersionConflict
from stoker.model.item import NewItem
from stoker.model.pipeline import OnChange, Output, Pipeline, Run, Step, Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Published
from stoker.store import catalog
from stoker.store.arrivals import register
from stoker.store.holdings import temporary
from stoker.store.orders import verbs, versions
from stoker.store.orders.priorities import set_priority
from stoker.store.reports import attempts, failures, lists
from store.rig import ME


@pytest.fixture
def line(rig, pipeline):
    rig.apply(pipeline(one=(), two=("one",), three=("two",)))
    rig.push("a", "b", "c")
    return rig


def test_held_tasks_are_not_claimed_until_released(line):
    done = verbs.hold(line.store, line.select(keys=("a",)), ME)
    assert done.changed == {"hold": 3}
    assert sorted(task.key for task in line.claim(line.worker(), 9)) == ["b", "c"]
    done = verbs.release(line.store, line.select(keys=("a",)), ME)
    assert done.changed == {"release": 1, "release_blocked": 2}
    assert [task.key for task in line.claim(line.worker(host="x"), 9)] == ["a"]
    line.check()


def test_a_held_successor_counts_its_predecessors_down(line):
    verbs.hold(line.store, line.select(keys=("a",), steps=("two",)), ME)
    line.work(line.worker())
    assert line.states()["a", "two"] == "held"
    done = verbs.release(line.store, line.select(), ME)
    assert done.changed == {"release": 1}
    line.work(line.worker())
    assert set(line.states().values()) == {"done"}
    line.check()


def test_cancelled_tasks_are_not_claimed(line):
    done = verbs.cancel(line.store, line.select(keys=("[ab]",)), ME)
    assert done.changed == {"cancel": 6}
    assert [task.key for task in line.claim(line.worker(), 9)] == ["c"]
    assert line.counts()[1] == {"cancelled": 2, "running": 1}
    line.check()


def test_cancelling_what_runs_asks_its_worker(line):
    worker = line.worker()
    (task,) = line.claim(worker)
    done = verbs.cancel(line.store, line.select(keys=(task.key,), steps=("one",)), ME)
    assert done.changed == {"stop": 1}
    assert line.states()[task.key, "one"] == "running"
    assert line.link.renew(worker, lease_s=9).cancel == {task.attempt}
    assert line.end(task, AttemptState.CANCELLED)
    assert line.states()[task.key, "one"] == "cancelled"
    line.check()


def test_rehearsing_changes_nothing(line):
    before = line.states()
    for verb in (verbs.hold, verbs.cancel, verbs.rerun, verbs.retry):
        verb(line.store, line.select(), ME, dry_run=True)
    assert line.states() == before
    line.check()


def test_retry_gives_a_fresh_allowance(rig, pipeline):
    rig.apply(pipeline(Step(name="one", action=Run(text="x"), retries=1, backoff_s=0)))
    rig.push("a")
    worker = rig.worker()
    for _ in range(2):
        (task,) = rig.claim(worker)
        rig.end(task, AttemptState.FAILED, cause="no license", reason="no license at 3")
    assert verbs.retry(rig.store, rig.select(match="LICENSE"), ME).changed == {"retry": 1}
    (task,) = rig.claim(worker)
    assert (task.number, task.tries) == (3, 0)
    rig.check()


def test_retry_by_match_leaves_other_causes(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a", "b")
    for task, cause in zip(rig.claim(rig.worker(), 2), ("disk full", "bad header"), strict=True):
        rig.end(task, AttemptState.FAILED, cause=cause)
    verbs.retry(rig.store, rig.select(match="header"), ME)
    assert rig.states() == {("a", "one"): "failed", ("b", "one"): "ready"}


def test_retry_of_one_cause_leaves_those_that_contain_it(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a", "b", "c")
    causes = ("disk full", "disk full of errors", None)
    for task, cause in zip(rig.claim(rig.worker(), 3), causes, strict=True):
        rig.end(task, AttemptState.FAILED, cause=cause)
    for row in failures.failures(rig.store, rig.select()):
        assert row.n == 1
        only = rig.select(cause=row.cause)
        assert verbs.retry(rig.store, only, ME, dry_run=True).examples == [
            f"line: {row.examples[0]}: one"
        ]
    verbs.retry(rig.store, rig.select(cause="disk full"), ME)
    assert rig.states() == {("a", "one"): "ready", ("b", "one"): "failed", ("c", "one"): "failed"}


def test_rerun_does_anew_what_follows(line):
    worker = line.worker()
    line.work(worker)
    done = verbs.rerun(line.store, line.select(keys=("a",), steps=("two",)), ME)
    assert done.changed == {"rerun": 1, "block": 1}
    states = line.states()
    assert (states["a", "one"], states["a", "two"], states["a", "three"]) == (
        "done",
        "ready",
        "blocked",
    )
    assert line.work(worker) == [("a", "two"), ("a", "three")]
    line.check()


def test_rerun_fences_off_a_running_follower(line):
    worker = line.worker()
    (one, *_) = line.claim(worker, 1)
    line.end(one)
    two = next(task for task in line.claim(worker, 9) if task.step == "two")
    verbs.rerun(line.store, line.select(keys=(one.key,), steps=("one",)), ME)
    assert line.states()[one.key, "two"] == "blocked"
    assert not line.end(two)
    line.work(worker)
    line.check()


def test_rerun_leaves_a_selected_running_task(line):
    worker = line.worker()
    line.claim(worker)
    done = verbs.rerun(line.store, line.select(keys=("a",), steps=("one",)), ME)
    assert done.left == {"running": 1}
    assert done.total == 0
    line.check()


def test_rerun_counts_a_selected_blocked_task_as_left(line):
    done = verbs.rerun(line.store, line.select(keys=("a",), steps=("two",)), ME)
    assert (done.changed, done.left) == ({}, {"blocked": 1})
    done = verbs.rerun(line.store, line.select(keys=("a",)), ME)
    assert (done.changed, done.left) == ({"rerun": 1}, {"blocked": 2})
    line.check()


def test_a_condition_decides_on_what_is_no_utf_8(line):
    odd = NewItem(key="odd", path="/data/\udcff", params={"name": "x\udcff"})
    register.register(line.store, "line", [odd], ME)
    where = "has(params.name) && params.name.startsWith('x')"
    done = verbs.hold(line.store, line.select(steps=("one",), where=where), ME)
    assert done.examples == ["line: odd: one"]


def test_selection_by_range_state_and_condition(line):
    register.register(line.store, "line", [NewItem(key="d", path="/d", params={"gain": 3})], ME)
    select = line.select
    assert verbs.hold(line.store, select(from_key="b", to_key="c"), ME).total == 6
    assert verbs.release(line.store, select(states=("held",), keys=("b",)), ME).total == 3
    assert verbs.hold(line.store, select(where="params.gain > 2"), ME).total == 3
    line.check()


def test_selecting_what_is_not_there_is_told(line):
    with pytest.raises(NotFound, match="did you mean `three`"):
        verbs.hold(line.store, line.select(steps=("thre",)), ME)
    with pytest.raises(UserError, match="the states are"):
        verbs.hold(line.store, line.select(states=("redy",)), ME)


def test_a_key_of_two_pipelines_is_refused(line):
    other = Pipeline(name="other", folder="/p", steps=(Step(name="s", action=Run(text="x")),))
    line.apply(other)
    line.push("a", pipeline="other")
    with pytest.raises(UserError, match="`line` and of `other`"):
        verbs.hold(line.store, line.select(keys=("a",)), ME)
    assert verbs.hold(line.store, line.select(keys=("a",), pipeline="other"), ME).total == 1


def test_changed_content_is_done_anew(line):
    worker = line.worker()
    line.work(worker)
    new = NewItem(key="a", path="/data/a", fingerprint="2", size_bytes=9, mtime_us=1)
    assert register.register(line.store, "line", [new], ME).changed == 1
    assert len(line.work(worker)) == 3
    line.check()


@pytest.mark.parametrize(("on_change", "field"), [("ignore", "known"), ("fail", "conflicts")])
def test_changed_content_follows_on_change(rig, on_change, field):
    step = Step(name="s", action=Run(text="x"))
    rig.apply(Pipeline(name="line", folder="/p", steps=(step,), on_change=OnChange(on_change)))
    rig.push("a")
    done = register.register(
        rig.store, "line", [NewItem(key="a", path="/data/a", fingerprint="2")], ME
    )
    assert getattr(done, field) == 1
    rig.check()


def test_the_same_content_is_no_new_version(line, pipeline):
    assert not line.apply(pipeline(one=(), two=("one",), three=("two",))).is_new


def test_a_new_step_gets_tasks_for_every_item(line, pipeline):
    line.work(line.worker())
    change = line.apply(
        pipeline(one=(), two=("one",), three=("two",), after=("one",), last=("after", "three"))
    )
    assert change.tasks_created == {"after": 3, "last": 3}
    assert line.states()["a", "after"] == "ready"
    assert line.states()["a", "last"] == "blocked"
    assert line.counts()[1] == {"waiting": 3}
    assert len(line.work(line.worker())) == 6
    line.check()


def test_a_removed_steps_open_tasks_are_cancelled_and_history_stays(line, pipeline):
    worker = line.worker()
    (task,) = line.claim(worker)
    line.end(task)
    change = line.apply(pipeline(one=(), three=("one",)))
    assert change.tasks_cancelled == {"two": 3}
    assert line.states()["a", "three"] == "ready"
    line.work(worker)
    assert line.counts()[1] == {"done": 3}
    line.check()


def test_a_changed_command_outdates_done_tasks_only(line, pipeline):
    worker = line.worker()
    line.work(worker)
    steps = (
        Step(name="one", action=Run(text="true")),
        Step(name="two", after=("one",), action=Run(text="changed")),
        Step(name="three", after=("two",), action=Run(text="true")),
    )
    assert line.apply(pipeline(*steps)).bodies_changed == ("two",)
    done = verbs.rerun(line.store, line.select(), ME, outdated=True)
    assert done.changed == {"rerun": 3, "block": 3}
    line.work(worker)
    assert verbs.rerun(line.store, line.select(), ME, outdated=True).total == 0
    line.check()


@pytest.mark.parametrize("dry_run", [True, False], ids=["rehearsed", "done"])
def test_a_follower_counts_once_though_it_is_selected_on_a_later_page(
    rig, pipeline, monkeypatch, dry_run
):
    monkeypatch.setattr(verbs, "RERUN", 2)
    rig.apply(pipeline(one=()))
    rig.push("a", "b", "c")
    rig.work(rig.worker())
    rig.apply(pipeline(one=(), two=("one",)))
    rig.work(rig.worker())
    done = verbs.rerun(rig.store, rig.select(), ME, dry_run=dry_run)
    assert (done.changed, done.left) == ({"rerun": 3, "block": 3}, {})
    rig.check()


def test_an_attempt_counts_for_the_version_of_its_claim(line, pipeline):
    tasks = line.claim(line.worker(), 3)
    steps = (
        Step(name="one", action=Run(text="changed")),
        Step(name="two", after=("one",), action=Run(text="true")),
        Step(name="three", after=("two",), action=Run(text="true")),
    )
    line.apply(pipeline(*steps))
    for task in tasks:
        line.end(task)
    assert verbs.rerun(line.store, line.select(), ME, outdated=True, dry_run=True).total == 6
    line.check()


def test_a_version_from_elsewhere_must_be_taken_over(line, pipeline):
    other = pipeline(one=(), two=("one",))
    with pytest.raises(VersionConflict, match="h:/f"):
        line.apply(other, host="elsewhere")
    assert line.apply(other, host="elsewhere", take_over=True).is_new


def test_rehearsing_a_version_tells_and_changes_nothing(line, pipeline):
    before = line.states()
    change = line.apply(pipeline(one=(), new=()), dry_run=True)
    assert change.tasks_created == {"new": 3}
    assert change.tasks_cancelled == {"two": 3, "three": 3}
    assert line.states() == before
    assert line.apply(pipeline(one=(), two=("one",), three=("two",))).is_new is False
    line.check()


@pytest.fixture
def kept(rig, pipeline):
    """Pipeline in which `one` leaves a temporary output for `two`, done for one item."""
    temp = (Output(name="x", to="x/{key}", temp=True), Output(name="y", to="y/{key}"))
    rig.apply(
        pipeline(
            Step(name="one", action=Run(text="true"), outputs=temp), two=("one",), three=("one",)
        )
    )
    rig.push("a")
    worker = rig.worker()
    (task,) = rig.claim(worker)
    outputs = tuple(
        Published(name=name, path=f"/{name}/a", size_bytes=1, checksum="xxh3:0") for name in "xy"
    )
    rig.end(task, outputs=outputs)
    return rig, worker


def test_temporary_outputs_go_when_the_last_successor_is_done(kept):
    rig, worker = kept
    gone: list[str] = []

    def look(path, content):
        assert (content.size_bytes, content.checksum) == (1, "xxh3:0")
        return lambda: gone.append(path)

    (first, second) = rig.claim(worker, 2)
    rig.end(first)
    assert temporary.expire(rig.store, look) == 0
    rig.end(second, verdict=Verdict.SKIP)
    assert temporary.expire(rig.store, look) == 1
    assert temporary.expire(rig.store, look) == 0
    assert gone == ["/x/a"]
    rig.check()


def test_what_is_needed_again_while_it_is_looked_at_is_kept(kept):
    rig, worker = kept
    rig.work(worker)

    def look(_path, _content):
        verbs.rerun(rig.store, rig.select(steps=("three",)), ME)
        return lambda: pytest.fail("somebody needs it")

    assert temporary.expire(rig.store, look) == 0


def test_rerunning_what_needs_a_deleted_output_makes_it_anew(kept):
    rig, worker = kept
    rig.work(worker)
    temporary.expire(rig.store, lambda _path, _content: lambda: None)
    done = verbs.rerun(rig.store, rig.select(steps=("three",)), ME)
    assert done.changed == {"rerun": 1, "block": 2}
    assert rig.work(worker)[0] == ("a", "one")
    rig.check()


def test_a_failed_removal_is_tried_again(kept):
    rig, worker = kept
    rig.work(worker)

    def fail():
        raise PermissionError

    with pytest.raises(PermissionError):
        temporary.expire(rig.store, lambda _path, _content: fail)
    assert temporary.expire(rig.store, lambda _path, _content: lambda: "/x/a") == 1
    assert temporary.expire(rig.store, lambda _path, _content: fail) == 0, (
        "what stays is left alone"
    )


def test_a_condition_speaks_of_what_the_steps_wrote(line):
    worker = line.worker()
    for n, task in enumerate(line.claim(worker, 3)):
        line.end(task, values={"n": n})
    selection = line.select(where="values.one.n >= 1")
    assert [row.item for row in lists.items(line.store, selection)] == ["b", "c"]
    assert len(list(lists.tasks(line.store, selection))) == 6
    assert verbs.hold(line.store, selection, ME).changed == {"hold": 4}
    assert [row.item for row in attempts.attempts(line.store, selection)] == ["b", "c"]


def test_a_condition_that_is_none_is_told(line):
    for text, word in (("values.one.n >", "not a condition"), ("parms.x == 1", "`parms`")):
        with pytest.raises(UserError, match=word):
            verbs.hold(line.store, line.select(where=text), ME)


def test_what_a_rehearsal_saw_of_a_version_is_forgotten(rig):
    def made(name, *steps):
        whole = tuple(Step(name=step, action=Run(text="true")) for step in steps)
        return Pipeline(name=name, folder="/project", steps=whole)

    for one in (made("p", "one"), made("q", "two")):  # each would be version 1 of an empty store
        versions.apply_version(rig.store, one, host="here", path="/x", dry_run=True)
    rig.apply(made("q", "two"))
    rig.apply(made("p", "one"))
    with rig.store.reading() as unit:
        assert set(catalog.catalog(unit).by_name) == {("q", "two"), ("p", "one")}


def test_a_priority_is_changed_for_all_tasks_of_an_item_also_those_to_come(line):
    done = set_priority(line.store, line.select(keys=("c",), steps=("one",)), ME, priority=3)
    assert done.changed == {"priority": 1}
    assert done.examples
    worker = line.worker()
    first = line.claim(worker, 1)
    assert [task.key for task in first] == ["c"]
    line.end(first[0])
    assert [task.key for task in line.claim(worker, 1)] == ["c"]  # its next step, before the others
    again = set_priority(line.store, line.select(keys=("c",)), ME, priority=3)
    assert (again.changed, sum(again.left.values())) == ({}, 3)
    set_priority(line.store, line.select(), ME, priority=-1_000_000)
    set_priority(line.store, line.select(keys=("b",)), ME, priority=1_000_000, dry_run=True)
    assert {one.priority for one in lists.items(line.store, line.select())} == {-1_000_000}
    assert [task.key for task in line.claim(worker, 1)] == ["a"]
    with pytest.raises(UserError):
        set_priority(line.store, line.select(), ME, priority=1_000_001)
    line.check()
