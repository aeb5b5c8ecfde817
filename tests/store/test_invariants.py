"""Each check of a store finds what it is there for, and names it."""

import pytest
from sqlalchemy import delete, insert, select, update

from stoker.model.pool import Pool
from stoker.model.states import TaskState
from stoker.model.task import Published
from stoker.store import journal_fold, tables
from stoker.store.database import invariants
from stoker.store.holdings import publications
from stoker.store.journal import Entry, append
from store.rig import set_pools, wanted

T, A, I, J, O = tables.task, tables.attempt, tables.item, tables.journal, tables.output  # noqa: E741
NOBODY = b"0123456789abcdef"


@pytest.fixture
def database():
    """SQLite: on the others the same queries run after every step of the property tests."""
    return "sqlite"


@pytest.fixture
def busy(rig, pipeline):
    """A store with one item done, one running, one failed, and a slot that is held."""
    rig.apply(pipeline(one=(), two=("one",)))
    set_pools(rig.store, [Pool(name="ram", slots=("0",))])
    rig.push("a", "b", "c")
    worker = rig.worker()
    a, b, c = rig.claim(worker, 3)
    rig.end(a, outputs=(Published(name="o", path="/out/a", size_bytes=1, checksum="x"),))
    rig.end(c, rig.result(c).state.FAILED)
    with rig.store.writing() as unit:
        unit.execute(update(tables.slot).values(attempt=b.attempt))
    journal_fold.fold(rig.store)
    return rig


def of(key, step="one"):
    """A condition for the task of that key and step."""
    return T.c.id.in_(
        select(T.c.id)
        .select_from(T.join(I, I.c.id == T.c.item_id).join(tables.step))
        .where(I.c.key == key, tables.step.c.name == step)
        .subquery()
        .select()
    )


def found(rig):
    return {
        one.check: list(one.violations) for one in invariants.check(rig.store) if one.violations
    }


def test_a_store_at_work_is_as_it_must_be(busy):
    assert found(busy) == {}
    assert len({one.check for one in invariants.check(busy.store)}) == len(invariants.CHECKS)


def test_what_is_not_counted_yet_is_no_violation(busy, monkeypatch):
    monkeypatch.setattr(invariants.journal_fold, "fold", lambda *_, **__: None)
    busy.push("d", "e")
    (task,) = busy.claim(busy.worker())
    busy.end(task)
    assert found(busy) == {}


def set_task(key, step="one", **values):
    return update(T).where(of(key, step)).values(**values)


@pytest.mark.parametrize(
    ("statement", "check", "text"),
    [
        (set_task("a", state=TaskState.RUNNING.value), "running", "`one` of `a` (line) runs and"),
        (set_task("b", attempt=NOBODY), "running", "no running task carries it"),
        (set_task("a", attempt=NOBODY), "done", "`one` of `a` (line) is done and"),
        (set_task("a", "two", lane=None), "lanes", "nobody can claim it"),
        (set_task("b", "two", lane=1), "lanes", "is blocked"),
        (set_task("a", "two", lane=77), "lanes", "lane 77"),
        (set_task("b", "two", waiting_on=2), "predecessors", "waits for 2; 1 are not done"),
        (set_task("a", "two", waiting_on=1), "predecessors", "waits for 1; 0 are not done"),
        (delete(T).where(of("b", "two")), "tasks", "item `b` has no task of step `two`"),
        (update(tables.slot).values(attempt=NOBODY), "slots", "`0` of pool `ram`"),
        (delete(A).where(A.c.number == 1), "belongings", "output `o`"),
        (update(tables.head).values(seq=tables.head.c.seq + 1), "numbers", "its head says"),
        (delete(J).where(J.c.event == "register", J.c.key == "a"), "numbers", "its head says"),
        (update(I).where(I.c.key == "a").values(state=6), "states_of_items", "item `a`"),
        (update(tables.tally).values(n=9), "counts", "counted as 9"),
        (update(tables.item_tally).values(n=9), "counts", "items of `line`, counted as 9"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_and_named(busy, statement, check, text):
    with busy.store.writing() as unit:
        unit.execute(statement)
    told = found(busy)
    assert [line for line in told.get(check, []) if text in line], told


def test_a_row_that_belongs_to_nothing_is_found(busy):
    with busy.store.writing() as unit:
        publications.take(unit, NOBODY, 777, [wanted("/out/x")])
        part = {"digest": NOBODY, "checksum": "x", "position": 0, "digests": b""}
        unit.execute(insert(tables.folder_part).values(part))
        append(unit, [Entry("never_heard_of", n=0)])
    assert found(busy) == {
        "belongings": [
            "`/out/x` belongs to a task that is not there",
            f"parts of folder {NOBODY.hex()} are recorded, which is nobody's",
        ]
    }
