"""Steps and pipelines with another name: tasks, history and outputs are theirs as before."""

from dataclasses import replace

import pytest

from stoker.errors import NotFound, VersionConflict
from stoker.model.pipeline import Output, Pipeline, Run, Step
from stoker.model.retention import Retention
from stoker.model.selection import Selection
from stoker.model.states import AttemptState
from stoker.model.task import Published
from stoker.store import journal_fold, tables
from stoker.store.orders import verbs
from stoker.store.reports import attempts, lists, overview, reproduction, story
from stoker.store.retention import prune
from store.rig import ME


def step(name, text="true", **more):
    return Step(name=name, action=Run(text=text), **more)


def line(*steps, name="line", **more):
    return Pipeline(name=name, folder="/project", steps=steps, **more)


FILTER = step("filter", "filter > {out.o}", outputs=(Output(name="o", to="/out/{key}"),))
PLOT = step("plot", "plot {in.filter.o} {in.filter.values.n}", after=("filter",))
CLEAN = replace(FILTER, name="clean", renamed_from="filter")
DRAW = step("plot", "plot {in.clean.o} {in.clean.values.n}", after=("clean",))


@pytest.fixture
def old(rig):
    """Item `a` is done, `b` has failed in `filter`, `c` runs in it, `d` is to be done."""
    rig.apply(line(FILTER, PLOT))
    rig.push("a", "b", "c", "d")
    worker = rig.worker(slots=8)
    first, second, third = rig.claim(worker, 3)
    out = Published(name="o", path="/out/a", size_bytes=1, checksum="x")
    rig.end(first, outputs=(out,), values={"n": 1})
    rig.end(rig.claim(worker, 1)[0])
    rig.end(second, AttemptState.FAILED)
    return rig, third


def words(rig, pipeline="line"):
    rows = lists.tasks(rig.store, Selection(pipeline=pipeline))
    return {(row.item, row.step): (row.state, row.attempts) for row in rows}


def test_a_renamed_step_carries_everything_over_and_nothing_runs_again(old):
    rig, running = old
    before = words(rig)
    change = rig.apply(line(CLEAN, DRAW))
    assert change.steps_renamed == {"filter": "clean"}
    assert (change.tasks_created, change.tasks_cancelled, change.bodies_changed) == ({}, {}, ())
    names = {"filter": "clean", "plot": "plot"}
    assert words(rig) == {(key, names[name]): found for (key, name), found in before.items()}
    assert overview.status(rig.store).pipelines["line"].outdated == 0
    assert rig.end(running), "what was claimed under the old name counts"
    assert sorted(task for task, _ in rig.work(rig.worker(slots=8))) == ["c", "d", "d"]
    found = [(one.step, one.state) for one in attempts.attempts(rig.store, Selection(keys=("a",)))]
    assert found == [("clean", "succeeded"), ("plot", "succeeded")]
    rig.check()
    prune.prune(rig.store, Retention(journal=0))
    rig.check()


def test_what_an_attempt_was_given_is_known_by_the_names_of_its_time(old):
    rig, _ = old
    rig.apply(line(CLEAN, DRAW))
    rig.apply(line(replace(CLEAN, name="tidy", renamed_from="clean"), step("plot")))
    found = {one.step: one for one in attempts.attempts(rig.store, Selection(keys=("a",)))}
    for name, called in (("tidy", "filter"), ("plot", "plot")):
        claimed, pipeline = reproduction.as_attempted(rig.store, found[name])
        assert claimed.step == called
        assert pipeline.step(called).action == {"filter": FILTER, "plot": PLOT}[called].action
    assert set(claimed.produced) == {"filter"}


def test_only_what_changed_beside_names_is_outdated(old):
    rig, _ = old
    other = replace(DRAW, action=Run(text="plot --large {in.clean.o}"))
    assert rig.apply(line(CLEAN, other)).bodies_changed == ("plot",)
    assert overview.status(rig.store).pipelines["line"].outdated == 1
    rig.check()


def test_two_steps_may_swap_their_names(old):
    rig, _ = old
    one = replace(FILTER, name="plot", renamed_from="filter")
    two = step(
        "filter", "plot {in.plot.o} {in.plot.values.n}", after=("plot",), renamed_from="plot"
    )
    change = rig.apply(line(one, two))
    assert change.steps_renamed == {"filter": "plot", "plot": "filter"}
    assert change.bodies_changed == ()
    assert words(rig)["a", "filter"] == ("done", 1)
    assert words(rig)["b", "plot"] == ("failed", 1)
    rig.check()


def test_a_step_with_tasks_of_its_own_takes_over_nothing(old):
    rig, _ = old
    rig.apply(line(replace(CLEAN, renamed_from=None), DRAW))
    change = rig.apply(line(CLEAN, DRAW))
    assert (change.steps_renamed, change.renamed_too_late) == ({}, ("clean",))
    assert words(rig)["a", "clean"] == ("ready", 0)
    rig.check()


def test_a_step_that_was_removed_comes_back_under_another_name(old):
    rig, running = old
    rig.end(running)
    rig.apply(line(step("other")))
    change = rig.apply(line(step("other"), CLEAN))
    assert change.steps_renamed == {"filter": "clean"}
    assert {name: found for name, found in words(rig).items() if name[1] == "clean"} == {
        ("a", "clean"): ("done", 1), ("b", "clean"): ("ready", 1),
        ("c", "clean"): ("done", 1), ("d", "clean"): ("ready", 0),
    }  # fmt: skip
    rig.check()


def test_a_renamed_pipeline_carries_everything_over(old):
    rig, running = old
    verbs.hold(rig.store, Selection(keys=("d",)), ME)
    verbs.release(rig.store, Selection(keys=("d",)), ME)
    prune.prune(rig.store, Retention(journal=0), selection=Selection(pipeline="line"))
    before, told = words(rig), story.story(rig.store, "a").happenings
    change = rig.apply(line(FILTER, PLOT, name="route", renamed_from="line"))
    assert (change.renamed_from, change.number, change.tasks_created) == ("line", 2, {})
    assert words(rig, "route") == before
    assert story.story(rig.store, "a").happenings == told
    with pytest.raises(NotFound, match="no pipeline `line`"):
        words(rig)
    assert rig.end(running)
    assert len(rig.work(rig.worker(slots=8))) == 3
    rig.push("e", pipeline="route")
    journal_fold.fold(rig.store)
    assert overview.status(rig.store).pipelines["route"].items["done"] == 3
    again = line(FILTER, PLOT, name="route", renamed_from="line")
    assert not rig.apply(again).is_new
    assert rig.apply(line(FILTER)).number == 1, "the old name is free for another pipeline"
    assert rig.apply(replace(again, title="x")).renamed_from is None
    rig.check()
    prune.prune(rig.store, Retention(journal=0))
    rig.check()


def test_a_rename_that_is_only_rehearsed_or_refused_changes_nothing(old):
    rig, _ = old
    before = words(rig)
    renamed = line(CLEAN, DRAW, name="route", renamed_from="line")
    change = rig.apply(renamed, dry_run=True)
    assert (change.renamed_from, change.steps_renamed) == ("line", {"filter": "clean"})
    with pytest.raises(VersionConflict):
        rig.apply(renamed, host="elsewhere")
    assert words(rig) == before
    rig.check()
    assert rig.apply(renamed, host="elsewhere", take_over=True).renamed_from == "line"
    assert words(rig, "route")["a", "clean"] == ("done", 1)
    rig.check()


def test_rows_that_were_not_counted_yet_are_counted_under_the_old_names(old):
    rig, _ = old
    rig.apply(line(CLEAN, DRAW, name="route", renamed_from="line"))
    tasks, items = rig.counts()
    assert tasks["clean", "done"] == 1
    assert items["done"] == 1
    with rig.store.reading() as unit:
        names = unit.execute(tables.journal.select()).fetchall()
    assert {row.pipeline for row in names if row.pipeline} == {"route"}


def test_a_pipeline_that_is_renamed_too_late_is_reported(rig):
    """Its new name has a record of its own already, to which nothing carries over."""
    rig.apply(line(FILTER, name="early"))
    rig.push("a", pipeline="early")
    rig.apply(line(FILTER, name="late"))
    change = rig.apply(line(FILTER, name="late", renamed_from="early"))
    assert (change.renamed_from, change.is_renamed_too_late) == (None, True)
    assert words(rig, "early") == {("a", "filter"): ("ready", 0)}
    in_time = rig.apply(line(FILTER, name="new", renamed_from="early"))
    assert (in_time.renamed_from, in_time.is_renamed_too_late) == ("early", False)
    rig.check()
