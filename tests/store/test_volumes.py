"""Volumes: members that are done fill one after another, and stay where they are (G8)."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from stoker import failpoints
from stoker.model.pipeline import Output
from stoker.model.selection import Selection
from stoker.model.states import AttemptState
from stoker.model.task import Published
from stoker.store import tables
from stoker.store.groups import closing
from stoker.store.groups.listing import groups as list_groups
from stoker.store.groups.member_pages import members_of
from stoker.store.groups.volume_members import volumes_of
from stoker.store.orders import verbs
from stoker.store.reports.lists import items
from store.groups import Groups, a_step
from store.rig import ME

VOLUME = 600_000  # room for two members of 250,000 bytes


class Volumes(Groups):
    """Groups whose members leave an output of a size that a test chooses."""

    def __init__(self, rig, **group):
        steps = (
            a_step("quant", outputs=(Output(name="fq", to="fq/{key}"),)),
            a_step("send", "quant"),
        )
        wanted = {"by": "", "volume_bytes": VOLUME, "pack": ("outputs.quant.fq",)} | group
        super().__init__(rig, steps=steps, key="A{number}", **wanted)
        self.sizes = {}

    def work(self, *, failing=()):
        done = []
        while tasks := self.rig.claim(self.worker, 100):
            for task in tasks:
                outputs = ()
                if task.step == "quant":
                    size = self.sizes.get(task.key, 250_000)
                    path = f"/project/fq/{task.key}"
                    outputs = (
                        Published(
                            name="fq", path=path, size_bytes=size, checksum=f"xxh3:{size:032}"
                        ),
                    )
                self.rig.end(task, outputs=outputs)
                done.append((task.key, task.step))
        return done

    def fill(self, *names):
        self.push(*names)
        self.work()
        self.look()
        self.work()

    def packed(self, key):
        item, pipeline = tables.item, tables.pipeline
        query = select(item.c.id).join(pipeline).where(pipeline.c.name == "sums", item.c.key == key)
        with self.store.reading() as unit:
            item_id = unit.execute(query).scalar_one()
        return {
            one.key: (one.superseded, [(file.path, file.size_bytes) for file in one.pack])
            for one in members_of(self.store, item_id)
        }

    def where(self, key):
        item, pipeline = tables.item, tables.pipeline
        query = select(item.c.id).join(pipeline).where(pipeline.c.name == "runs", item.c.key == key)
        with self.store.reading() as unit:
            found = volumes_of(unit, unit.execute(query).scalar_one())
        return [(one.volume, one.superseded) for one in found]


@pytest.fixture
def volumes(rig):
    return Volumes(rig)


def test_members_fill_one_volume_after_another(volumes):
    volumes.fill("a", "b", "c", "d", "e")
    assert volumes.keys() == ["A0001", "A0002"]
    assert list(volumes.packed("A0001")) == ["a", "b"]
    assert volumes.packed("A0002") == {
        "c": (False, [("/project/fq/c", 250_000)]),
        "d": (False, [("/project/fq/d", 250_000)]),
    }
    assert volumes.item("A0002")["meta"]["number"] == 2
    rows = {row.key: row for row in list_groups(volumes.store)}
    assert rows["A0003"].state == "waiting"
    assert "bytes are filled" in rows["A0003"].waits_for
    assert volumes.trouble == ""
    volumes.fill("f", "g")
    assert volumes.keys() == ["A0001", "A0002", "A0003"]
    volumes.check()


def test_a_member_that_is_done_again_goes_into_a_later_volume(volumes):
    volumes.fill("a", "b", "c")
    assert volumes.where("a") == [("A0001", False)]
    before = volumes.item("A0001")
    verbs.rerun(volumes.store, Selection(keys=("a",), pipeline="runs"), ME)
    volumes.look()
    assert volumes.where("a") == [("A0001", False)]
    volumes.sizes["a"] = 200_000
    volumes.fill("d")
    assert volumes.where("a") == [("A0001", True), ("A0002", False)]
    assert volumes.item("A0001") == before, "what was packed is not packed again"
    assert volumes.packed("A0001")["a"] == (True, [("/project/fq/a", 250_000)])
    assert {one.item: one.volume for one in items(volumes.store, Selection(pipeline="runs"))} == {
        "a": "A0002", "b": "A0001", "c": "A0002", "d": "A0003",
    }  # fmt: skip
    volumes.fill("e", "f")
    assert volumes.packed("A0002")["a"] == (False, [("/project/fq/a", 200_000)])
    volumes.check()


def test_a_new_step_has_nothing_archived_again(volumes, rig):
    volumes.fill("a", "b", "c")
    rig.apply(replace_steps(volumes.runs, a_step("report", "send")))
    volumes.look()
    volumes.work()
    volumes.look()
    assert volumes.where("a") == [("A0001", False)]
    volumes.check()


def replace_steps(pipeline, *more):
    return replace(pipeline, steps=(*pipeline.steps, *more))


def test_a_member_larger_than_a_volume_is_trouble_and_stops_no_other(volumes, rig):
    volumes.sizes["a"] = 700_000
    volumes.fill("a", "b", "c", "d")
    assert "`a` is larger than a volume" in volumes.trouble
    assert volumes.keys() == ["A0001"]
    assert list(volumes.packed("A0001")) == ["b", "c"]
    volumes.declare(key="A{number}", by="", volume_bytes=900_000, pack=("outputs.quant.fq",))
    volumes.look()
    assert volumes.trouble == ""
    assert volumes.where("a") == [("A0003", False)], "with `d` it would be too much"
    volumes.check()


def test_a_volume_is_closed_by_hand(volumes):
    volumes.fill("a")
    assert volumes.keys() == []
    closing.close(volumes.store, "A0001", ME)
    volumes.fill("b")
    assert list(volumes.packed("A0001")) == ["a"]
    assert volumes.where("b") == [("A0002", False)]
    volumes.check()


def test_what_leaves_nothing_is_in_no_volume(rig):
    volumes = Volumes(rig, pack=("outputs.send.none",))
    volumes.fill("a", "b")
    assert volumes.keys() == []
    assert volumes.where("a") == []
    volumes.check()


def test_what_was_not_committed_is_placed_by_the_next_look(volumes, monkeypatch):
    volumes.push("a", "b", "c")
    volumes.work()
    with monkeypatch.context() as broken:
        broken.setattr(failpoints, "_armed", failpoints.parse("groups.filled=raise"))
        broken.setattr(failpoints, "_hits", {})
        volumes.look()
    assert volumes.where("a") == []
    volumes.look()
    assert volumes.keys() == ["A0001"]
    assert volumes.where("c") == [("A0002", False)]
    volumes.check()


def test_a_member_waits_for_its_repair_and_keeps_its_volume(volumes):
    volumes.push("a", "b")
    assert volumes.rig.end(volumes.rig.claim(volumes.worker, 1)[0], AttemptState.FAILED)
    volumes.work()
    volumes.look()
    assert volumes.where("a") == []
    assert volumes.where("b") == [("A0001", False)]
    verbs.retry(volumes.store, Selection(keys=("a",), pipeline="runs"), ME)
    volumes.fill("c")
    assert (volumes.where("a"), volumes.where("c")) == ([("A0001", False)], [("A0002", False)])
    volumes.check()


def test_one_that_is_done_again_before_its_volume_is_full_moves_on(volumes):
    volumes.fill("a")
    verbs.rerun(volumes.store, Selection(keys=("a",), pipeline="runs"), ME)
    volumes.sizes["a"] = 400_000
    volumes.fill("b")
    assert list(volumes.keys()) == ["A0001"]
    assert [volumes.where(one) for one in "ab"] == [[("A0001", False)], [("A0002", False)]]
    assert volumes.packed("A0001") == {"a": (False, [("/project/fq/a", 400_000)])}
    volumes.check()
