"""Groups at an outpost: a step there reads the lists of its members, which are sent beside its task."""

import json

import pytest

from integration.outposts.rig import STEPS
from integration.work.rig import ME
from stoker.intake.register_found import Taker
from stoker.intake.sources.group import GroupSource
from stoker.outpost import members
from stoker.spec.load import load_project

GROUPS = """
[pipelines.all]
items = "groups"
[pipelines.all.sources.runs]
pipeline = "p"
group_by = "{meta.month}"
settle = "0s"
[pipelines.all.steps.archive]
site = "far"
run = '''
while read -r one; do cat "$one"; done < {members.make.root} > {out.tar}
cat {members.make.values} > {out.values}
cat {members} > {out.all}
test "$STOKER_MEMBERS" = {members}
'''
outputs = { tar = "tar/{key}", values = "values/{key}", all = "all/{key}" }
"""


def gather(rig, *keys):
    """Two items are done at the outpost, and their group is an item."""
    rig.write(STEPS, extra=GROUPS)
    rig.push(*keys, meta={"month": "2026-11"})
    rig.settle()
    group = load_project(rig.folder / "stoker.toml").pipelines["all"]
    source = GroupSource(rig.store, group, group.sources[0], actor=ME, is_staying=False)
    source.is_last = True
    Taker(rig.store, "all", source, ME).take()


def check_archive(rig, *keys):
    lines = (rig.far / "tar" / "2026-11").read_text().splitlines()
    assert [line.split()[1:] for line in lines] == [[key, "3"] for key in keys]
    table = (rig.far / "values" / "2026-11").read_text().splitlines()
    assert table == ["key,v", *(f"{key},{key}" for key in keys)]
    known = [json.loads(line) for line in (rig.far / "all" / "2026-11").read_text().splitlines()]
    assert [one["key"] for one in known] == list(keys)
    path = str(rig.far / "root" / f"{keys[0]}.root")
    assert [one["path"] for one in known[0]["outputs"]["make"]["root"]] == [path]
    assert rig.left_there() == []


def test_a_step_there_reads_the_lists_of_its_members(rig):
    gather(rig, "a", "b")
    rig.settle()
    check_archive(rig, "a", "b")
    assert (rig.visit().out, rig.entry().trouble) == (0, None)


def test_more_members_than_a_page_holds(rig, monkeypatch):
    monkeypatch.setattr(members, "MOST_BYTES", 1500)
    gather(rig, *"abcdefg")
    rig.visit()
    assert len(list((rig.spool / "members").glob("*/*.json"))) > 1
    rig.settle()
    check_archive(rig, *"abcdefg")


def test_a_member_that_is_too_large_to_be_sent_fails_its_group_alone(rig, monkeypatch):
    monkeypatch.setattr(members, "MOST_BYTES", 100)
    gather(rig, "a", "b")
    rig.visit()
    states = rig.task_states()
    assert states.pop("2026-11/archive") == "failed"
    assert set(states.values()) == {"done"}
    rig.visit()
    assert rig.left_there() == []


@pytest.mark.parametrize("damage", ["gone", "half"])
def test_a_list_that_is_damaged_there_is_sent_again(rig, damage):
    gather(rig, "a", "b")
    rig.visit()
    (page,) = (rig.spool / "members").glob("*/*.json")
    if damage == "gone":
        page.unlink()
    else:
        page.write_bytes(page.read_bytes()[:100])
    assert rig.work_there() == 0
    assert not (rig.far / "tar").exists()
    assert rig.visit().given_back == 1
    rig.settle()
    check_archive(rig, "a", "b")


@pytest.mark.parametrize("point", ["visit.members_sent", "outpost.members_put"])
def test_killed_while_members_are_sent(rig, point):
    gather(rig, "a", "b")
    near, far = (f"{point}=kill@1" if point.startswith(side) else "" for side in ("vis", "out"))
    assert rig.visit_apart(near, far=far) != 0
    rig.settle()
    check_archive(rig, "a", "b")
