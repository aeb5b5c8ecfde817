"""However many rows a verb is about, each transaction changes few, so that a worker keeps its lease."""

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from stoker.errors import Unavailable
from stoker.model.pipeline import Pipeline, Run, Step
from stoker.model.pool import Pool
from stoker.model.retention import Retention
from stoker.model.selection import Selection
from stoker.model.states import TaskState
from stoker.project.services import janitor
from stoker.store import journal_fold, tables
from stoker.store.dialects import sqlite, turns
from stoker.store.ends import lost_hosts, reap
from stoker.store.forecasts import reordering
from stoker.store.orders import new_version, verbs
from stoker.store.retention import prune
from store.rig import ME, Rig, set_pools

N = 160
FEW = 10  # rows in a transaction, in this test
ROWS = 8 * FEW  # that one transaction may change: of each task its row, its journal, item and slot
STEPS = (
    Step(name="one", action=Run(text="true"), pools={"ram": 1}),
    Step(name="two", action=Run(text="true"), after=("one",)),
)


@pytest.fixture
def database():
    return "sqlite"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Batches are small, so that a few hundred rows are many."""
    from stoker.store import paging
    from stoker.store.retention import condense, forget

    for module, name in (
        (reap, "BATCH"), (journal_fold, "FOLD_ROWS"), (paging, "PAGE"), (verbs, "RERUN"),
        (new_version, "BATCH"), (lost_hosts, "BATCH"), (reordering, "BATCH"), (forget, "WINDOW"), (condense, "WINDOW"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, FEW)


@pytest.fixture
def changed(store, monkeypatch):
    """Rows that each transaction changed, as SQLite counts them."""
    counts = []
    begin = store.writing

    @contextmanager
    def writing(**more):
        with begin(**more) as one:
            driver = one.cursor.connection
            before = driver.total_changes
            yield one
            counts.append(driver.total_changes - before)

    monkeypatch.setattr(store, "writing", writing)
    return counts


@pytest.fixture
def many(rig):
    set_pools(rig.store, [Pool(name="ram", slots=tuple(map(str, range(N))))])
    rig.apply(Pipeline(name="line", folder="/project", steps=STEPS))
    rig.push(*(f"k{number:04}" for number in range(N)))
    journal_fold.fold(rig.store)
    rig.is_forged = False
    return rig


def all_tasks(rig: Rig, state: TaskState, **columns) -> None:
    """Every task of the first step is in this state, without a word in the journal."""
    rig.is_forged = True
    task = tables.task
    values = {"state": state.value, "lane": None} | columns
    with rig.store.writing() as one:
        step = one.execute(tables.step.select().where(tables.step.c.name == "one")).one()
        one.execute(task.update().where(task.c.step_id == step.id).values(**values))


def leave_back_off(rig):
    all_tasks(rig, TaskState.READY, not_before_us=1)
    yield
    assert reap.promote_all_due(rig.store) == N


def hold_over_back_off(rig):
    all_tasks(rig, TaskState.HELD, not_before_us=1)
    yield
    assert reap.promote_all_due(rig.store) == N


def lose(rig):
    worker = rig.worker(slots=N)
    for _ in range(0, N, FEW):
        assert len(rig.claim(worker, FEW)) == FEW
    yield
    assert rig.link.reap(dead_workers=[worker]).attempts == N


def lose_workers(rig):
    for number in range(N):
        rig.lapse(rig.worker(host=f"h{number}"))
    yield
    assert rig.link.reap().workers == N


def free_slots(rig):
    worker = rig.worker(slots=N)
    for _ in range(0, N, FEW):
        rig.claim(worker, FEW)
    rig.is_forged = True
    with rig.store.writing() as one:
        one.execute(tables.attempt.update().values(state=5))
        one.execute(tables.worker.update().values(state=1))
    yield
    rig.link.reap()


def retry(rig):
    all_tasks(rig, TaskState.FAILED)
    yield
    assert verbs.retry(rig.store, Selection(), ME).total == N


def cancel(rig):
    yield
    assert verbs.cancel(rig.store, Selection(), ME).total == 2 * N


def hold(rig):
    yield
    assert verbs.hold(rig.store, Selection(), ME).total == 2 * N
    assert verbs.release(rig.store, Selection(), ME).total == 2 * N


def rerun(rig):
    all_tasks(rig, TaskState.DONE)
    yield
    assert verbs.rerun(rig.store, Selection(steps=("one",)), ME).total >= N


def fold_all(rig):
    verbs.cancel(rig.store, Selection(), ME)
    yield
    assert journal_fold.fold(rig.store)


def fold_a_new_step(rig):
    three = Step(name="three", action=Run(text="true"))
    rig.apply(Pipeline(name="line", folder="/project", steps=(*STEPS, three)))
    yield
    assert journal_fold.fold(rig.store)


def add_a_step(rig):
    three = Step(name="three", action=Run(text="true"))
    yield
    change = rig.apply(Pipeline(name="line", folder="/project", steps=(*STEPS, three)))
    assert change.tasks_created == {"three": N}


def remove_a_step(rig):
    yield
    change = rig.apply(Pipeline(name="line", folder="/project", steps=STEPS[:1]))
    assert change.tasks_cancelled == {"two": N}


def put_a_step_before_another(rig):
    zero = Step(name="zero", action=Run(text="true"))
    one = dataclasses.replace(STEPS[0], after=("zero",))
    yield
    rig.apply(Pipeline(name="line", folder="/project", steps=(zero, one, STEPS[1])))
    assert set(rig.states().values()) == {"ready", "blocked"}


def reorder(rig):
    rig.is_forged = True
    with rig.store.writing() as one:
        one.execute(tables.task.update().values(okey=1 << 40))
    yield
    reordering.look_after(rig.store, refresh_s=60, at_once=True)


def begin_elsewhere(rig):
    yield
    lost_hosts.begin_again_elsewhere(rig.store)


def forget(rig):
    verbs.cancel(rig.store, Selection(), ME)
    journal_fold.fold(rig.store)
    yield
    kept = Retention(items={"cancelled": 0.0}, journal=0.0)
    assert prune.prune(rig.store, kept).items == N


def delete_temporary(rig):
    yield
    janitor.remove_temporary(rig.store)


VERBS = (
    leave_back_off, hold_over_back_off, lose, lose_workers, free_slots, retry, cancel, hold, rerun,
    fold_all, fold_a_new_step, add_a_step, remove_a_step, put_a_step_before_another, reorder, begin_elsewhere, forget, delete_temporary,
)  # fmt: skip


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_no_transaction_changes_more_than_a_few_rows(many, verb, changed):
    steps = verb(many)
    next(steps)
    changed.clear()
    next(steps, None)
    assert max(changed, default=0) <= ROWS
    if not many.is_forged:
        many.check()


def test_who_waits_to_write_gets_in_between_the_transactions_of_a_long_verb(rig):
    """SQLite by itself lets whoever comes again at once have the lock again and again."""
    begun, over = threading.Event(), threading.Event()
    waits = []

    def beat():
        worker = rig.worker()
        begun.set()
        while not over.is_set():
            began = len(passed)
            rig.link.renew(worker, lease_s=60)
            waits.append(len(passed) - began)

    passed = []
    other = threading.Thread(target=beat)
    other.start()
    assert begun.wait(30)
    for _ in range(12):
        with rig.store.writing():
            time.sleep(2 * turns.LONG_S)
        passed.append(1)
    over.set()
    other.join(30)
    assert len(waits) >= 5, "it was let in again and again"
    assert sorted(waits)[-2] <= 2


def test_a_writer_waits_for_the_lock_no_longer_than_it_should(rig, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    with rig.store.writing(), ThreadPoolExecutor(1) as pool:
        late = pool.submit(rig.worker)
        with pytest.raises(Unavailable, match="another process has held the store's lock"):
            late.result(timeout=30)


def test_only_what_a_power_cut_must_not_undo_waits_for_the_disk(many):
    def level():
        with many.store.connected() as connection:
            return connection.exec_driver_sql("PRAGMA synchronous").scalar_one()

    full, normal = 2, 1
    worker = many.worker()
    assert level() == full, "a new worker"
    (task,) = many.claim(worker)
    assert level() == normal, "the worker ends with its host"
    many.end(task)
    assert level() == full, "an end is told to people"
    journal_fold.fold(many.store)
    assert level() == normal, "it can be done again"
    many.push("more")
    assert level() == full, "durable when it returns"
