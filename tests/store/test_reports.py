"""What the store tells: counts, lists, stories, reasons; each against what was done to it."""

import os

import pytest
from sqlalchemy import event

from stoker.errors import NotFound, UserError
from stoker.model.pipeline import Cause, Output, Run, Step
from stoker.model.pool import Pool
from stoker.model.selection import Selection
from stoker.model.states import AttemptState
from stoker.model.task import Published, Stream
from stoker.store import catalog
from stoker.store.actor import Actor
from stoker.store.forecasts import open_work
from stoker.store.holdings import pools
from stoker.store.orders import verbs
from stoker.store.reports import (
    attempts,
    failures,
    lists,
    overview,
    reproduction,
    story,
    why_waiting,
)
from store.rig import ME, set_pools, wanted

ALL = Selection()


def step(name, **more):
    return Step(name=name, action=Run(text="true"), **more)


def test_status_counts_what_is_there(rig, pipeline):
    rig.apply(pipeline(a=(), b=("a",)))
    rig.push("x", "y", "z")
    worker = rig.worker()
    rig.end(rig.claim(worker)[0])
    found = overview.status(rig.store).pipelines["line"]
    assert found.items["waiting"] == 3
    assert found.steps["a"] == dict.fromkeys(found.tasks, 0) | {"done": 1, "ready": 2}
    assert found.tasks["blocked"] == 2
    rig.work(worker)
    found = overview.status(rig.store).pipelines["line"]
    assert found.items["done"] == 3
    assert found.tasks == dict.fromkeys(found.tasks, 0) | {"done": 6}
    assert found.eta_s is None


def test_done_tasks_of_an_older_step_are_outdated(rig, pipeline):
    rig.apply(pipeline(a=()))
    rig.push("x", "y")
    rig.work(rig.worker())
    rig.apply(pipeline(Step(name="a", action=Run(text="other"))))
    assert overview.status(rig.store).pipelines["line"].outdated == 2
    verbs.rerun(rig.store, ALL, ME, outdated=True)
    assert overview.status(rig.store).pipelines["line"].outdated == 0


def test_the_time_to_go_follows_from_what_steps_took(rig, pipeline):
    rig.apply(pipeline(a=()))
    rig.push(*map(str, range(10)))
    worker = rig.worker(slots=2)
    for task in rig.claim(worker, limit=2):
        rig.end(task, started_us=1_000_000, ended_us=3_000_000)
    found = overview.status(rig.store).pipelines["line"]
    assert found.eta_s == pytest.approx(8 * 2.0 / 2, rel=0.3)
    low, high = found.eta_interval_s
    assert low <= found.eta_s <= high
    assert next(lists.tasks(rig.store, ALL)).expected_s == pytest.approx(2.0, rel=0.05)


def test_what_is_blocked_behind_a_failure_takes_no_time(rig, pipeline):
    rig.apply(pipeline(a=(), b=("a",), c=("b",)))
    rig.push("x", "y")
    worker = rig.worker(slots=1)
    first, second = rig.claim(worker, limit=2)
    rig.end(first, AttemptState.FAILED, reason="no", cause="no")
    rig.end(second, started_us=1_000_000, ended_us=3_000_000)
    low, high = overview.status(rig.store).pipelines["line"].eta_interval_s
    assert low < 2 * 2.0 < high
    with rig.store.reading() as unit:
        left = open_work.open_tasks(unit, catalog.catalog(unit), limit=10)
    assert [(one.task.after, one.item_id) for one in left] == [
        ((), second.item_id),
        ((0,), second.item_id),
    ]


def test_tasks_are_matched_by_what_was_said_last(rig, pipeline):
    rig.apply(pipeline(a=(), b=("a",)))
    rig.push("x", "y")
    worker = rig.worker()
    for reason in ("no licence", "bad header"):
        verbs.retry(rig.store, ALL, ME)
        for task in rig.claim(worker, limit=2):
            rig.end(task, AttemptState.FAILED, reason=f"{reason} in {task.key}", cause=reason)
    verbs.hold(rig.store, Selection(steps=("b",), keys=("y",)), Actor("me", "Bad weather"))

    def found(words, **more):
        chosen = Selection(match=words, **more)
        return [(row.item, row.step) for row in lists.tasks(rig.store, chosen)]

    assert found("licence") == []
    assert found("HEADER in x") == [("x", "a")]
    assert found("bad") == [("x", "a"), ("y", "a"), ("y", "b")]
    assert found("bad", states=("failed",)) == [("x", "a"), ("y", "a")]
    assert found("100%") == []
    items = lists.items(rig.store, Selection(match="weather"))
    assert [row.item for row in items] == ["y"]
    assert len(list(attempts.attempts(rig.store, Selection(match="Licence")))) == 2


def test_lists_are_read_page_by_page(rig, pipeline, monkeypatch):
    monkeypatch.setattr("stoker.store.paging.PAGE", 3)
    rig.apply(pipeline(a=()))
    rig.push(*(f"k{number:02}" for number in range(10)))
    rig.work(rig.worker(), limit=4)
    assert [row.item for row in lists.items(rig.store, ALL)] == [f"k{n:02}" for n in range(10)]
    rows = list(attempts.attempts(rig.store, ALL))
    assert [row.item for row in rows] == [f"k{n:02}" for n in range(10)]
    narrowed = attempts.attempts(rig.store, Selection(keys=("k03", "k1*"), states=("succeeded",)))
    assert [row.item for row in narrowed] == ["k03"]
    with pytest.raises(UserError, match="not a state of an attempt"):
        list(attempts.attempts(rig.store, Selection(states=("ready",))))


def test_an_attempt_is_found_by_the_beginning_of_its_id(rig, pipeline):
    rig.apply(pipeline(a=()))
    rig.push("x")
    task = rig.claim(rig.worker())[0]
    rig.end(task, stderr=Stream(size_bytes=3, text=b"oh\xff"))
    whole = next(attempts.attempts(rig.store, ALL)).id
    assert attempts.attempt_by_id(rig.store, whole).id == whole
    assert attempts.attempt_by_id(rig.store, whole[:13]).id == whole
    assert attempts.streams_of(rig.store, whole)["stderr"].text == b"oh\xff"
    with pytest.raises(UserError, match="not the id of an attempt"):
        attempts.attempt_by_id(rig.store, "what")
    with pytest.raises(NotFound):
        attempts.attempt_by_id(rig.store, "ffffffff")


def test_which_finds_files_and_what_is_in_published_folders(rig, pipeline, tmp_path):
    rig.apply(pipeline(step("a", outputs=(Output(name="o", to="o/{key}/"),))))
    rig.push("x")
    task = rig.claim(rig.worker())[0]
    path = str(tmp_path / "o\udcff")

    rig.link.reserve(task.attempt, task.task_id, [wanted(path)])
    rig.end(task, outputs=(Published(name="o", path=path, size_bytes=1, checksum="xxh3:0"),))
    for name in (path, os.path.join(path, "deep/er")):
        found = attempts.maker_of(rig.store, name)
        assert (found.item, found.outputs[0].path) == ("x", path)
    with pytest.raises(NotFound):
        attempts.maker_of(rig.store, str(tmp_path / "other"))


def test_failures_are_grouped_and_carry_what_the_step_says(rig, pipeline):
    known = (Cause(match="x", say="no licence", do="wait"),)
    rig.apply(pipeline(step("a", causes=known), b=()))
    rig.push("x", "y", "z")
    for task in rig.claim(rig.worker(), limit=6):
        cause = "no licence" if task.step == "a" else f"odd {task.key}"
        rig.end(task, AttemptState.FAILED, reason=f"{cause}!", cause=cause)
    rows = failures.failures(rig.store, ALL)
    assert [(row.step, row.cause, row.n) for row in rows] == [
        ("a", "no licence", 3), ("b", "odd x", 1), ("b", "odd y", 1), ("b", "odd z", 1),
    ]  # fmt: skip
    assert (rows[0].do, rows[0].reason, rows[0].examples) == (
        "wait",
        "no licence!",
        ("x", "y", "z"),
    )
    by_condition = failures.failures(rig.store, Selection(where='key == "y"'))
    assert [(row.cause, row.n) for row in by_condition] == [("no licence", 1), ("odd y", 1)]
    by_words = failures.failures(rig.store, Selection(match="ODD"))
    assert sum(row.n for row in by_words) == 3


def test_a_story_is_in_order_and_begins_with_the_registration(rig, pipeline):
    rig.apply(pipeline(a=(), b=("a",)))
    rig.push("x", "y")
    worker = rig.worker()
    rig.work(worker)
    verbs.rerun(rig.store, Selection(keys=("x",), steps=("a",)), Actor("ada", "again"))
    rig.work(worker)
    told = story.story(rig.store, "x")
    assert told.item.state == "done"
    assert [(row.step, row.number) for row in told.attempts] == [
        ("a", 1),
        ("b", 1),
        ("a", 2),
        ("b", 2),
    ]
    rerun = next(one for one in told.happenings if one.event == "rerun")
    assert (rerun.by, rerun.reason, rerun.step) == ("ada", "again", "a")
    assert [one.event for one in told.happenings] == ["register", "rerun", "block"]
    assert told.happenings[0].by == told.item.by
    assert story.story(rig.store, "/data/x").item.item == "x"


def test_an_unknown_item_is_told_with_what_is_near(rig, pipeline):
    rig.apply(pipeline(a=()))
    rig.push("run7/file.dat")
    with pytest.raises(NotFound, match=r"did you mean `run7/file\.dat`"):
        story.story(rig.store, "file.dat")
    with pytest.raises(NotFound, match=r"did you mean `run7/file\.dat`"):
        story.story(rig.store, "run7/fil")
    with pytest.raises(NotFound, match=r"stoker items"):
        story.story(rig.store, "zzz")


class TestWhy:
    def of(self, rig, key="x", step=None):
        return why_waiting.why(rig.store, key, step)

    def test_no_worker_then_next_then_running_then_done(self, rig, pipeline):
        rig.apply(pipeline(a=()))
        rig.push("x")
        assert self.of(rig).kind == "no_worker"
        worker = rig.worker()
        assert self.of(rig).kind == "next"
        task = rig.claim(worker)[0]
        assert self.of(rig).kind == "running"
        assert "host-1" in self.of(rig).text
        rig.end(task)
        assert self.of(rig).kind == "done"

    def test_the_predecessor_that_stands_still(self, rig, pipeline):
        rig.apply(pipeline(a=(), b=("a",), c=("b",)))
        rig.push("x")
        task = rig.claim(rig.worker())[0]
        rig.end(task, AttemptState.FAILED, reason="boom", cause="boom")
        found = self.of(rig, step="c")
        assert found.kind == "predecessor"
        assert "step `a` before it is failed" in found.text
        assert "boom" in found.text
        assert self.of(rig).kind == "failed"

    def test_what_to_do_about_a_failure_is_what_failures_say(self, rig, pipeline):
        rig.apply(pipeline(a=()))
        rig.push("x")
        ended = "exit code 1: cat: a.txt: No such file or directory"
        task = rig.claim(rig.worker())[0]
        rig.end(task, AttemptState.FAILED, reason=ended, cause="cat: a.txt: No such file")
        do = failures.failures(rig.store, ALL)[0].do
        assert "`{project}/NAME`" in do
        assert self.of(rig).do == f"{do}; then `stoker retry`"

    def test_a_full_pool_names_its_holders(self, rig, pipeline):
        rig.apply(pipeline(step("a", pools={"ram": 1})))
        set_pools(rig.store, [Pool(name="ram", slots=("0",))])
        rig.push("x", "y")
        rig.claim(rig.worker())
        found = self.of(rig, "y")
        assert found.kind == "pool_full"
        assert "`x` (a)" in found.text

    def test_what_no_worker_has(self, rig, pipeline):
        rig.apply(pipeline(step("a", cpus=64), step("b", memory_bytes=(1 << 50,))))
        rig.push("x")
        rig.worker()
        assert "64 cpus" in self.of(rig, step="a").text
        assert "memory" in self.of(rig, step="b").text
        assert self.of(rig, step="b").kind == "no_worker_fits"

    def test_busy_workers(self, rig, pipeline):
        rig.apply(pipeline(a=()))
        rig.push("x", "y", "z")
        rig.claim(rig.worker(slots=1), limit=1)
        assert self.of(rig, "z").kind == "capacity"

    def test_what_comes_before_is_counted_as_far_as_it_is_told(self, rig, pipeline, monkeypatch):
        rig.apply(pipeline(a=()))
        rig.push("x", "y", "z", priority=1)
        rig.push("last")
        rig.claim(rig.worker(slots=1), limit=1)
        assert "and 2 tasks come before it" in self.of(rig, "last").text
        monkeypatch.setattr("stoker.store.reports.why_ready._COUNTED", 1)
        assert "and more than 1 tasks come before it" in self.of(rig, "last").text

    def test_back_off_and_hold(self, rig, pipeline):
        rig.apply(pipeline(step("a", retries=3)))
        rig.push("x", "y")
        rig.end(rig.claim(rig.worker())[0], AttemptState.FAILED, reason="flaky", cause="flaky")
        assert self.of(rig).kind == "back_off"
        assert "flaky" in self.of(rig).text
        verbs.hold(rig.store, Selection(keys=("y",)), Actor("ada", "wait for me"))
        assert "held by ada: wait for me" in self.of(rig, "y").text


def test_pools_follow_the_settings_and_what_is_held_ends_in_peace(rig, pipeline):
    rig.apply(pipeline(step("a", pools={"gpu": 1})))
    set_pools(rig.store, [Pool(name="gpu", slots=("0", "1"))])
    assert set_pools(rig.store, [Pool(name="gpu", slots=("0", "1"))]) == []
    rig.push("x", "y")
    task = rig.claim(rig.worker())[0]
    assert task.slots == {"gpu": ("0",)}
    changed = set_pools(rig.store, [Pool(name="gpu", slots=("1", "2"))])
    assert [(one.before, one.after, one.retired_but_held) for one in changed] == [(2, 2, 1)]
    held = {row.slot: row.item for row in pools.slots(rig.store)}
    assert held == {"0": "x", "1": None, "2": None}
    assert overview.status(rig.store).pools["gpu"].slots == 2
    rig.end(task)
    set_pools(rig.store, [])
    assert overview.status(rig.store).pools.get("gpu") is None or not pools.slots(rig.store)


def test_a_repetition_has_what_the_attempt_was_given(rig, pipeline):
    rig.apply(pipeline(step("a", outputs=(Output(name="o", to="o"),)), b=("a",)))
    rig.push("x", params={"gain": 2})
    worker = rig.worker()
    first = rig.claim(worker)[0]
    output = Published(name="o", path="/out/o", size_bytes=1, checksum="xxh3:0")
    rig.end(first, outputs=(output,), values={"n": 5})
    claimed, spec = reproduction.as_claimed(rig.store, "x", "b")
    assert claimed.params == {"gain": 2}
    assert claimed.produced["a"].outputs == {"o": ("/out/o",)}
    assert claimed.produced["a"].values == {"n": 5}
    assert spec.name == "line"
    rig.work(worker)
    last = list(attempts.attempts(rig.store, Selection(steps=("b",))))[-1]
    again, _ = reproduction.as_attempted(rig.store, last)
    assert again.produced == claimed.produced
    assert rig.link.finish([]) == frozenset()
    with pytest.raises(NotFound, match="no step `c`"):
        reproduction.as_claimed(rig.store, "x", "c")


def test_the_forecast_does_not_count_ready_tasks_of_which_nothing_is_known(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push(*(f"k{number}" for number in range(open_work.EXACT + 1)))
    rig.worker()
    texts = []

    def note(_connection, _cursor, text, *_more):
        texts.append(text)

    event.listen(rig.store.engine, "before_cursor_execute", note)
    assert overview.status(rig.store).pipelines["line"].eta_s is None
    assert texts
    assert not [text for text in texts if "avg(" in text]  # a look at every ready task
