"""Groups on every database: which items belong together, when a group is complete, what follows."""

import time

import pytest

from stoker.model.pipeline import OnChange
from stoker.model.selection import Selection
from stoker.store.database import relocate
from stoker.store.database.connect import bare, opened
from stoker.store.orders import verbs
from store.groups import Groups, a_step
from store.rig import ME, Rig


def select_(*keys, **more):
    return Selection(keys=keys, **more)


@pytest.fixture
def groups(rig):
    return Groups(rig)


def test_a_group_is_an_item_once_all_its_members_are_over(groups):
    groups.push("a/1", "a/2", "b/1")
    assert groups.look().opened == 0
    assert groups.work(failing=("a/2",))
    assert groups.look().registered == 1
    assert groups.keys() == ["b"]
    verbs.retry(groups.store, select_("a/2"), ME)
    groups.work()
    assert groups.look().registered == 1
    assert groups.keys() == ["a", "b"]
    assert groups.members("a") == {"a/1": "done", "a/2": "done"}
    counts = {"members": 2, "done": 2, "skipped": 0, "failed": 0, "missing": 0}
    assert groups.item("a")["meta"] == counts
    assert groups.item("a")["size_bytes"] == 20
    groups.check()


def test_looking_again_brings_nothing(groups):
    groups.push("a/1")
    groups.work()
    assert groups.merged() == ["a"]
    events = groups.rig.events()
    assert groups.merged() == []
    assert groups.rig.events() == events


def test_a_repaired_member_has_the_group_done_again_once_it_is_over(groups):
    groups.push("a/1", "a/2", "a/3")
    groups.work()
    assert groups.merged() == ["a"]
    verbs.rerun(groups.store, select_("a/1", "a/3", pipeline="runs"), ME)
    assert groups.look().opened == 0, "none before all are over"
    assert groups.row("a").changed_n == 2
    assert groups.members("a") == {"a/1": "done", "a/2": "done", "a/3": "done"}
    groups.work()
    assert groups.merged() == ["a"], "one rerun for both"
    assert groups.row("a").changed_n == 0
    groups.check()


def test_a_hundred_late_members_cause_one_rerun(groups):
    groups.push("a/0")
    groups.work()
    assert groups.merged() == ["a"]
    groups.push(*(f"a/late{n}" for n in range(100)))
    groups.look()
    groups.work()
    done = groups.look()
    assert (done.registered, done.changed) == (0, 1)
    assert len(groups.members("a")) == 101
    groups.check()


@pytest.mark.parametrize(
    ("on_change", "changed", "conflicts"), [(OnChange.IGNORE, 0, 0), (OnChange.FAIL, 0, 1)]
)
def test_a_late_member_follows_on_change(rig, on_change, changed, conflicts):
    groups = Groups(rig, on_change=on_change)
    groups.push("a/1")
    groups.work()
    assert groups.merged() == ["a"]
    groups.push("a/2")
    groups.work()
    done = groups.look()
    assert (done.changed, done.conflicts) == (changed, conflicts)
    assert groups.members("a") == {"a/1": "done"}
    assert groups.look().conflicts == 0
    assert ("on_change" in groups.trouble) is bool(conflicts)


def test_failed_members_do_not_stop_a_group_that_allows_them(rig):
    groups = Groups(rig, allow_failed=True)
    groups.push("a/1", "a/2", "b/1")
    groups.work(failing=("a/2", "b/1"))
    assert groups.merged() == ["a"], "a group without a member that is done is none"
    assert groups.item("a")["meta"]["failed"] == 1
    assert groups.members("a") == {"a/1": "done", "a/2": "failed"}
    verbs.retry(groups.store, select_("a/2"), ME)
    groups.work()
    assert groups.merged() == ["a"]
    assert groups.item("a")["meta"]["failed"] == 0


def test_a_member_counts_once_its_step_is_over(rig):
    groups = Groups(rig, step="quant")
    groups.push("a/1")
    groups.work(failing=("a/1:send",))
    assert groups.merged() == ["a"]
    verbs.retry(groups.store, select_("a/1"), ME)
    groups.work()
    assert groups.merged() == [], "what comes after the step is no concern of the group"
    verbs.rerun(groups.store, select_("a/1", steps=("quant",)), ME)
    groups.work()
    assert groups.merged() == ["a"]


def test_a_failed_predecessor_of_the_step_is_a_failed_member(rig):
    groups = Groups(rig, step="send", allow_failed=True)
    groups.push("a/1", "a/2")
    groups.work(failing=("a/1",))
    assert groups.merged() == ["a"]
    assert groups.members("a") == {"a/1": "failed", "a/2": "done"}


@pytest.mark.parametrize("verb", ["hold", "cancel"])
def test_held_members_are_not_over_and_cancelled_ones_are_bad(groups, verb):
    groups.push("a/1", "a/2")
    getattr(verbs, verb)(groups.store, select_("a/2", pipeline="runs"), ME)
    groups.work()
    assert groups.merged() == []
    if verb == "hold":
        verbs.release(groups.store, select_("a/2"), ME)
    else:
        verbs.rerun(groups.store, select_("a/2", pipeline="runs"), ME)
    groups.work()
    assert groups.merged() == ["a"]


def test_a_member_that_changes_its_group_moves(groups):
    groups.push("a/1", "a/2", "b/1")
    groups.work()
    assert groups.merged() == ["a", "b"]
    groups.push("a/2", content="2", group="b")
    groups.work()
    assert groups.merged() == ["a", "b"]
    assert groups.members("a") == {"a/1": "done"}
    assert groups.members("b") == {"a/2": "done", "b/1": "done"}
    groups.check()


def test_an_item_without_the_value_is_told(groups):
    groups.push("a/1")
    groups.push("odd", group=None)
    groups.push("..", group="../../etc")
    groups.work()
    assert groups.merged() == ["a"]
    assert "`odd`" in groups.trouble
    assert "leave the output folder" in groups.trouble


def test_others_are_no_members(rig):
    groups = Groups(rig, where="meta.layout == 'PAIRED'")
    groups.push("a/1", layout="PAIRED")
    groups.push("a/2", layout="SINGLE")
    groups.push("a/3")
    groups.work()
    assert groups.merged() == ["a"]
    assert groups.members("a") == {"a/1": "done"}
    assert "`meta.layout`" in groups.trouble
    assert "has(meta.layout)" in groups.trouble


def test_a_number_of_members_is_waited_for(rig):
    groups = Groups(rig, count=3)
    groups.push("a/1", "a/2")
    groups.work()
    assert groups.merged() == []
    assert groups.row("a").waits_for == "1 more of 3 members"
    groups.push("a/3")
    groups.work()
    assert groups.merged() == ["a"]
    groups.push("a/4")
    groups.look()
    assert "it has 4 members, and `count` is 3" in groups.trouble
    groups.work()
    assert groups.merged() == []


def test_members_say_how_many_they_are(rig):
    groups = Groups(rig, count="{meta.files}")
    groups.push("a/1", files=2)
    groups.push("b/1", "b/2", files="2")
    groups.push("c/1", files=2)
    groups.push("c/2", files=3)
    groups.push("d/1", files="many")
    groups.work()
    assert groups.merged() == ["b"]
    assert "group `c`: its members disagree on `count`: from 2 to 3" in groups.trouble
    assert "`count` is `many` for `d/1`" in groups.trouble
    groups.push("c/1", content="2", files=3)
    groups.push("c/3", files=3)
    groups.work()
    assert groups.merged() == ["c"]


def test_a_group_waits_until_nothing_new_has_come_for_a_while(rig):
    groups = Groups(rig, settle_s=3600)
    groups.push("a/1")
    groups.work()
    assert groups.merged() == []
    assert groups.row("a").waits_for == "no new member for 3600 s"
    assert groups.look(last=True).registered == 1, "a run does not wait for time to pass"


def test_the_groups_of_a_day_wait_for_its_end_in_a_run_too(rig):
    groups = Groups(rig, by="{day}")
    groups.push("a/1")
    groups.work()
    assert groups.look(last=True).registered == 0
    assert groups.row(time.strftime("%Y-%m-%d")).waits_for == "the day to end"


def test_a_file_says_that_a_group_is_complete(rig, tmp_path):
    groups = Groups(rig, complete_when=f"{tmp_path}/{{key}}.complete")
    groups.push("a/1")
    groups.work()
    assert groups.merged() == []
    (tmp_path / "a.complete").touch()
    assert groups.look(last=True).registered == 1


def test_one_pipeline_of_groups_follows_another(rig):
    groups = Groups(rig)
    groups.push("a/1", "b/1")
    groups.work()
    assert groups.merged() == ["a", "b"]
    groups.declare(by="")
    groups.work()
    assert groups.merged() == ["all"], "a changed declaration makes memberships again"
    assert groups.members("all") == {"a/1": "done", "b/1": "done"}
    assert groups.keys() == ["a", "all", "b"], "items whose group is gone stay"
    groups.check()


def test_a_new_step_of_the_members_has_them_done_again(groups):
    groups.push("a/1")
    groups.work()
    assert groups.merged() == ["a"]
    steps = (*groups.runs.steps, a_step("check", "send"))
    groups.rig.apply(type(groups.runs)(name="runs", folder="/project", steps=steps))
    assert groups.look().opened == 0
    groups.work()
    assert groups.merged() == ["a"]
    groups.check()


def test_members_that_left_and_came_back_are_done_again_with_their_group(rig):
    """The step of the group may have run meanwhile, without them."""
    groups = Groups(rig)
    groups.push("a/1", "a/2")
    groups.work()
    groups.look()
    groups.declare(by="other-{meta.group}")
    groups.look()
    assert groups.members("a") == {}
    assert [key for key, _ in groups.work()] == ["a", "other-a"]
    groups.declare()
    assert groups.merged() == ["a"]
    assert groups.members("a") == {"a/1": "done", "a/2": "done"}
    assert groups.merged() == []
    groups.check()


def test_members_are_followed_in_a_restored_store(rig, tmp_path):
    """Its journal goes on in another epoch, and what groups had seen is in the one before."""
    groups = Groups(rig)
    groups.push("a/1")
    groups.work()
    assert groups.merged() == ["a"]
    backup = tmp_path / "backup.db"
    relocate.back_up(rig.store, backup)
    url = f"sqlite:///{tmp_path}/restored/stoker.db"
    with bare(url) as target:
        relocate.restore(backup, target)
    with opened(url) as store:
        groups.rig = Rig(store)
        groups.store, groups.worker = store, groups.rig.worker()
        groups.push("a/2")
        groups.work()
        assert groups.merged() == ["a"]
        assert groups.members("a") == {"a/1": "done", "a/2": "done"}
