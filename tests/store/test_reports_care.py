"""Adopting and pruning keep every promise: the journal, the tallies and the graph."""

import pytest

from stoker.errors import OutputConflict
from stoker.model.retention import Retention
from stoker.model.selection import Selection
from stoker.model.states import AttemptState
from stoker.model.task import Published, Stream
from stoker.store.catalog import catalog
from stoker.store.orders import adopt, verbs
from stoker.store.reports import attempts, lists, overview
from stoker.store.retention import prune
from store.rig import ME, wanted


def found(rig, key, step, *paths):
    with rig.store.reading() as unit:
        entry = catalog(unit).by_name["line", step]
    row = next(
        task_id for task_id, name, of in ids(rig) if (name, of) == (key, step)
    )  # fmt: skip
    outputs = tuple(Published(name="o", path=p, size_bytes=3, checksum="xxh3:1") for p in paths)
    return adopt.Found(
        task_id=row, step_id=entry.id, outputs=outputs, wanted=tuple(map(wanted, paths))
    )


def ids(rig):
    from sqlalchemy import select

    from stoker.store import tables

    task, item, step = tables.task, tables.item, tables.step
    query = select(task.c.id, item.c.key, step.c.name).select_from(
        task.join(item, item.c.id == task.c.item_id).join(step, step.c.id == task.c.step_id)
    )
    with rig.store.reading() as unit:
        return unit.execute(query).fetchall()


def test_an_adopted_task_is_done_and_what_follows_is_ready(rig, pipeline):
    rig.apply(pipeline(a=(), b=("a",)))
    rig.push("x", "y")
    assert adopt.adopt(rig.store, found(rig, "x", "a", "/out/x1", "/out/x2"), ME)
    assert rig.states()["x", "a"] == "done"
    assert rig.states()["x", "b"] == "ready"
    row = next(attempts.attempts(rig.store, Selection()))
    assert (row.kind, row.state, row.number) == ("adopted", "succeeded", 1)
    assert [output.path for output in row.outputs] == ["/out/x1", "/out/x2"]
    rig.check()
    assert not adopt.adopt(rig.store, found(rig, "x", "a", "/out/x1"), ME)
    assert ("x", "b") in rig.work(rig.worker())
    rig.check()


def test_a_dry_run_adopts_nothing_and_a_path_of_another_is_a_conflict(rig, pipeline):
    rig.apply(pipeline(a=()))
    rig.push("x", "y")
    assert adopt.adopt(rig.store, found(rig, "x", "a", "/out/x"), ME, dry_run=True)
    assert rig.states()["x", "a"] == "ready"
    assert adopt.adopt(rig.store, found(rig, "x", "a", "/out/x"), ME)
    with pytest.raises(OutputConflict):
        adopt.adopt(rig.store, found(rig, "y", "a", "/out/x"), ME)
    assert rig.states()["y", "a"] == "ready"
    rig.check()


def test_a_running_task_is_not_adopted(rig, pipeline):
    rig.apply(pipeline(a=()))
    rig.push("x")
    rig.claim(rig.worker())
    assert not adopt.adopt(rig.store, found(rig, "x", "a", "/out/x"), ME)
    rig.check()


def over(age_s):
    """Items that are over are forgotten after so many seconds."""
    return Retention(items={"done": age_s, "cancelled": age_s})


def test_pruning_leaves_counts_right_and_open_items_alone(rig, pipeline, tmp_path):
    rig.apply(pipeline(a=(), b=("a",)))
    rig.push("x", "y", "z", "w")
    worker = rig.worker()
    log = tmp_path / "log"
    log.write_text("words")
    for task in rig.claim(worker, limit=4):
        if task.key == "z":
            rig.end(task, AttemptState.FAILED, reason="no", cause="no")
        else:
            rig.end(task, stdout=Stream(size_bytes=5, path=str(log)))
    rig.work(worker)
    verbs.cancel(rig.store, Selection(keys=("z",)), ME)
    rig.push("open")
    dry = prune.prune(rig.store, over(0), dry_run=True)
    assert (dry.items, dry.tasks, dry.log_files > 0, log.exists()) == (4, 8, True, True)
    rig.check()
    assert prune.prune(rig.store, over(3600)).items == 0
    done = prune.prune(rig.store, over(0))
    assert (done.items, done.tasks, log.exists()) == (4, 8, False)
    assert [row.item for row in lists.items(rig.store, Selection())] == ["open"]
    tasks, items = rig.counts()
    assert items == {"waiting": 1}
    assert sum(tasks.values()) == 2
    assert rig.push("x").registered == 1
    rig.work(rig.worker())
    assert overview.status(rig.store).pipelines["line"].tasks["done"] == 4
