"""Groups while something else happens: a step that runs, a registration under way, a renamed pipeline."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from stoker.model.pipeline import ItemKind, Pipeline
from stoker.model.selection import Selection
from stoker.model.source import Group, Source
from stoker.model.states import AttemptState
from stoker.model.task import Published, Verdict
from stoker.store import tables, unit
from stoker.store.groups import completing
from stoker.store.groups.listing import groups as list_groups
from stoker.store.groups.member_pages import members_of
from stoker.store.orders import verbs
from store.groups import Groups, a_step
from store.rig import ME


@pytest.fixture
def groups(rig):
    return Groups(rig)


def test_a_step_of_the_group_runs_on_while_a_member_is_set_back_and_is_done_again(groups):
    groups.push("a/1", "a/2")
    groups.work()
    groups.look()
    (merge,) = groups.rig.claim(groups.worker, 5)
    verbs.rerun(groups.store, Selection(keys=("a/2",), pipeline="runs"), ME)
    assert groups.look().opened == 0
    (row,) = list_groups(groups.store)
    assert (row.state, row.members, row.over, row.outdated) == ("waiting", 2, 1, 1)
    assert groups.members("a") == {"a/1": "done", "a/2": "done"}, "as it was begun"
    assert groups.rig.end(merge), "its result counts"
    assert ("a", "merge") not in groups.work()
    assert groups.merged() == ["a"]
    assert groups.merged() == []
    groups.check()


def test_a_member_that_changes_while_its_group_is_registered_is_not_missed(groups, monkeypatch):
    groups.push("a/1", "a/2")
    groups.work()
    hit, happened = completing.hit, []

    def late(point: str) -> None:
        hit(point)
        if point == "groups.noted" and not happened:
            happened.append(point)
            verbs.rerun(groups.store, Selection(keys=("a/2",), pipeline="runs"), ME)
            groups.look()  # another service has seen it, and looks on

    monkeypatch.setattr(completing, "hit", late)
    assert groups.look().opened == 0
    assert happened
    assert groups.keys() == []
    assert groups.merged() == []
    assert groups.merged() == ["a"]
    groups.check()


@pytest.mark.parametrize("how", ["skipped", "failed", "cancelled"])
def test_a_group_without_a_member_that_is_done_is_not_registered(rig, how):
    groups = Groups(rig, allow_failed=True)
    groups.push("a/1", "a/2", "b/1", "b/2")
    everything = Selection(pipeline="runs")
    if how == "cancelled":
        verbs.cancel(rig.store, everything, ME)
    while tasks := rig.claim(groups.worker, 4):
        for task in tasks:
            if how == "skipped":
                rig.end(task, verdict=Verdict.SKIP)
            else:
                rig.end(task, AttemptState.FAILED, verdict=Verdict.FAIL, reason="no license")
    assert groups.look().opened == 0
    assert groups.keys() == []
    verbs.rerun(rig.store, Selection(keys=("b/1",), pipeline="runs"), ME)
    verbs.retry(rig.store, Selection(keys=("b/1",), pipeline="runs"), ME)
    groups.work()
    assert groups.merged() == ["b"], "one of its members is done after all"
    assert groups.keys() == ["b"]
    groups.check()


def test_nothing_is_registered_of_a_day_without_items(rig):
    groups = Groups(rig, by="{day}")
    assert groups.look(last=True).opened == 0
    assert (groups.keys(), groups.trouble) == ([], "")


def test_groups_follow_a_pipeline_that_is_renamed(groups):
    groups.push("a/1", "a/2")
    groups.work()
    assert groups.merged() == ["a"]
    groups.rig.apply(replace(groups.runs, name="reads", renamed_from="runs"))
    groups.declare(pipeline="reads")
    assert groups.merged() == []
    verbs.rerun(groups.store, Selection(keys=("a/2",), pipeline="reads"), ME)
    groups.work()
    assert groups.merged() == ["a"]
    assert groups.members("a") == {"a/1": "done", "a/2": "done"}
    groups.check()


def test_fifty_sources_gather_the_same_items(rig):
    """Each of them follows by itself; what concerns none of them costs a glance."""
    groups = Groups(rig)
    names = [f"s{n}" for n in range(50)]
    rig.apply(
        Pipeline(
            name="sums",
            folder="/project",
            items=ItemKind.GROUPS,
            key="{key}",
            steps=(a_step("merge"),),
            sources=tuple(
                Source(name=name, group=Group(pipeline="runs", by=name, settle_s=None))
                for name in names
            ),
        )
    )
    groups.push("a/1")
    groups.work()
    loaded = groups.sums
    for name in names:
        source = Source(name=name, group=Group(pipeline="runs", by=name, settle_s=None))
        groups.sums = replace(loaded, sources=(source,))
        assert groups.look().registered == 1
    assert groups.keys() == sorted(names)


def test_members_with_more_attempts_than_a_statement_takes(rig, monkeypatch):
    """PostgreSQL takes 65,535 values in a statement: 16,000 members with five steps each are more."""
    monkeypatch.setattr(unit, "MOST_IN_LIST", 4)
    groups = Groups(rig, steps=(a_step("quant"), a_step("send", "quant"), a_step("tidy", "send")))
    groups.push(*(f"a/{n}" for n in range(7)))
    out = Published(name="tpm", path="/out", size_bytes=1, checksum="x")
    while tasks := rig.claim(groups.worker, 9):
        for task in tasks:
            rig.end(task, values={"n": task.key}, outputs=(replace(out, path=f"/o/{task.key}"),))
    groups.look()
    verbs.rerun(rig.store, Selection(pipeline="runs"), ME)
    with rig.store.reading() as one:
        item_id = one.execute(select(tables.item.c.id).where(tables.item.c.key == "a")).scalar_one()
    found = members_of(rig.store, item_id)
    assert [one.key for one in found] == [f"a/{n}" for n in range(7)]
    for one in found:
        assert one.values == {step: {"n": one.key} for step in ("quant", "send", "tidy")}
        assert one.outputs["quant"]["tpm"][0].path == f"/o/{one.key}"
