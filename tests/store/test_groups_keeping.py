"""What groups keep from being deleted: temporary outputs, and the items themselves."""

import pytest

from stoker.model.pipeline import Argv, Output
from stoker.model.retention import Retention
from stoker.model.selection import Selection
from stoker.model.states import AttemptState
from stoker.model.task import Published
from stoker.store.groups import closing
from stoker.store.holdings import temporary
from stoker.store.orders import verbs
from stoker.store.retention import prune
from stoker.store.retention.counts import Pruned
from store.groups import Groups, a_step
from store.rig import ME


def with_outputs(rig, *words: str, **group) -> Groups:
    """Groups whose members have a temporary output of `quant`, which the merge names as `words` do."""
    output = Output(name="fq", to="local/{key}", temp=True)
    steps = (a_step("quant", outputs=(output,)), a_step("send", "quant"))
    groups = Groups(rig, steps=steps, **group)
    groups.sums = _replaced(groups.sums, Argv(words=("merge", *words)))
    rig.apply(groups.sums)
    return groups


def _replaced(pipeline, action):
    from dataclasses import replace

    return replace(pipeline, steps=(replace(pipeline.steps[0], action=action),))


def work(groups: Groups, *, only: str | None = None) -> None:
    while tasks := groups.rig.claim(groups.worker, 100):
        for task in tasks:
            path = f"/local/{task.key}"
            published = Published(name="fq", path=path, size_bytes=1, checksum="xxh3:0")
            is_quant = task.step == "quant"
            if only is not None and task.step != only:
                groups.rig.end(task, AttemptState.FAILED, reason="not now")
            else:
                groups.rig.end(task, outputs=(published,) if is_quant else ())


def expired(groups: Groups) -> list[str]:
    gone: list[str] = []

    def look(path, content):
        def remove():
            gone.append(path)

        return remove

    while temporary.expire(groups.store, look):
        pass
    return sorted(gone)


@pytest.mark.parametrize("words", [("{members.quant.fq}",), ("{members}",)])
def test_a_temporary_output_stays_until_the_group_has_used_it(rig, words):
    groups = with_outputs(rig, *words)
    groups.push("a/1", "a/2")
    work(groups)
    assert expired(groups) == [], "nobody has looked for groups yet"
    groups.look()
    assert expired(groups) == [], "the merge has not been done"
    work(groups)
    assert expired(groups) == ["/local/a/1", "/local/a/2"]


def test_one_that_the_group_does_not_name_goes_when_the_item_is_done(rig):
    groups = with_outputs(rig, "{members.send.values}")
    groups.push("a/1")
    work(groups)
    assert expired(groups) == ["/local/a/1"]


def test_it_stays_while_the_group_waits_for_another_member(rig):
    groups = with_outputs(rig, "{members.quant.fq}", count=2)
    groups.push("a/1")
    work(groups)
    groups.look()
    assert expired(groups) == []
    closing.close(groups.store, "a", ME)
    groups.look()
    work(groups)
    assert expired(groups) == ["/local/a/1"]


def test_it_goes_for_items_that_are_no_members(rig):
    groups = with_outputs(rig, "{members.quant.fq}", where="meta.group != 'b'")
    groups.push("a/1", "b/1")
    work(groups)
    groups.look()
    assert expired(groups) == ["/local/b/1"]


def test_what_a_repaired_member_left_stays_though_the_group_was_done_before(rig):
    groups = with_outputs(rig, "{members.quant.fq}")
    groups.push("a/1")
    work(groups)
    groups.look()
    work(groups)
    assert expired(groups) == ["/local/a/1"]
    verbs.rerun(groups.store, Selection(keys=("a/1",), pipeline="runs"), ME)
    work(groups)
    assert expired(groups) == [], "nobody has looked since"
    groups.look()
    work(groups)
    assert expired(groups) == ["/local/a/1"]


def test_a_late_member_has_the_temporary_outputs_of_the_others_made_again(rig):
    groups = with_outputs(rig, "{members.quant.fq}")
    groups.push("a/1", "a/2")
    work(groups)
    groups.look()
    work(groups)
    assert expired(groups) == ["/local/a/1", "/local/a/2"]
    groups.push("a/3")
    work(groups)
    done = groups.look()
    assert (done.changed, done.messages) == (
        2,
        ["group `a` needs temporary outputs of 2 of its members again"],
    )
    states = rig.states()
    assert [states[f"a/{n}", "quant"] for n in (1, 2, 3)] == ["ready", "ready", "done"]
    work(groups)
    assert expired(groups) == []
    assert groups.look().changed == 1
    work(groups)
    assert expired(groups) == ["/local/a/1", "/local/a/2", "/local/a/3"]
    groups.check()


def forgotten(groups: Groups, *keys: str) -> int:
    done = Pruned()
    selection = Selection(keys=keys, pipeline="runs" if not keys else None)
    for _ in prune.steps(groups.store, Retention(items={"done": 0.0}), done, selection=selection):
        pass
    return done.items


def test_members_of_a_group_that_is_not_complete_are_not_forgotten(rig):
    groups = Groups(rig, count=2)
    groups.push("a/1")
    groups.work()
    assert forgotten(groups) == 0, "nobody has looked yet"
    groups.look()
    assert forgotten(groups) == 0, "it waits for another"
    groups.push("a/2")
    groups.work()
    groups.look()
    assert forgotten(groups) == 0, "its item is open"
    groups.work()
    assert forgotten(groups) == 2
    groups.look()
    assert groups.trouble == ""
    groups.check()


def test_a_group_with_forgotten_members_is_not_done_again_without_them(rig):
    groups = Groups(rig)
    groups.push("a/1", "a/2")
    groups.work()
    assert groups.merged() == ["a"]
    assert forgotten(groups, "a/1") == 1
    assert groups.merged() == []
    groups.push("a/3")
    groups.work()
    assert groups.merged() == []
    assert "1 of its members were pruned" in groups.trouble
    closing.close(groups.store, "a", ME)
    assert groups.merged() == ["a"]
    assert groups.members("a") == {"a/2": "done", "a/3": "done"}


def test_a_group_whose_own_item_was_forgotten_is_not_registered_again(rig):
    groups = Groups(rig)
    groups.push("a/1")
    groups.work()
    assert groups.merged() == ["a"]
    assert forgotten(groups, "a") == 1
    assert groups.merged() == []
    groups.check()
    groups.push("a/2")
    groups.work()
    assert groups.merged() == ["a"], "a late member is another matter"
