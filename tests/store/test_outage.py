"""The server dies under its workers' hands, and comes back: nothing is lost, nothing doubled."""

import subprocess
import sys
import time

import pytest
from sqlalchemy import func, select

import servers
from stoker.errors import Unavailable
from stoker.model.pipeline import Pipeline, Run, Step
from stoker.model.pool import Pool
from stoker.model.states import AttemptState, TaskState
from stoker.store import tables
from stoker.store.database.connect import open_store
from store.rig import Rig, set_pools

ITEMS, WORKERS = 250, 3

# What a worker does about an outage: it delivers its results again and again, and begins anew where
# it cannot know whether a claim of its own went through.
SCRIPT = """
import sys, time
from stoker.errors import StaleAttempt, Unavailable
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Result
from stoker.model.worker import NewWorker
from stoker.store.claims import claim
from stoker.store.ends import finish
from stoker.store.claims import workers
from stoker.store.ends import reap
from stoker.store.database.connect import open_store

def patiently(verb, *args, **more):
    while True:
        try:
            return verb(*args, **more)
        except Unavailable:
            time.sleep(0.05)

def enlist():
    return patiently(workers.enlist, store, NewWorker(host=sys.argv[2], name=sys.argv[2], pid=1,
        slots=4, cpus=4, memory_bytes=1 << 30, scratch="/s", boot_id="b", lease_s=600))

store = patiently(open_store, sys.argv[1])
me = enlist()
while not patiently(claim.anything_left, store).is_nothing:
    try:
        tasks = claim.claim(store, me, limit=4, cpus_free=4).tasks
    except Unavailable:
        patiently(reap.reap, store, dead_workers=[me])
        me = enlist()
        continue
    if not tasks:
        time.sleep(0.01)
    patiently(finish.finish, store, [Result(attempt=task.attempt, task_id=task.task_id,
        state=AttemptState.SUCCEEDED, verdict=Verdict.DONE, exit_code=0) for task in tasks])
patiently(workers.retire, store, me)
store.close()
"""


@pytest.fixture(
    params=[pytest.param(kind, marks=getattr(pytest.mark, kind)) for kind in servers.KINDS]
)
def server(request):
    """A server of this test's own, as it is going to die."""
    own = servers.require(request.param)()
    yield own
    own.close()


@pytest.fixture
def rig(server):
    store = open_store(server.new_database("lab"), site_name="here")
    yield Rig(store)
    store.close()


def test_verbs_say_that_the_store_is_away_and_go_on_when_it_is_back(server, rig):
    rig.apply(Pipeline(name="line", folder="/p", steps=(Step(name="one", action=Run(text="x")),)))
    rig.push("a", "b")
    worker = rig.worker()
    (task,) = rig.claim(worker)
    server.kill()
    for verb in (lambda: rig.end(task), lambda: rig.claim(worker), rig.counts):
        with pytest.raises(Unavailable):
            verb()
    server.start()
    assert rig.end(task)
    assert [other.key for other in rig.claim(worker)] == ["b"]
    rig.check()


def test_an_outage_in_the_middle_of_a_transaction_undoes_it(server, rig):
    rig.apply(Pipeline(name="line", folder="/p", steps=(Step(name="one", action=Run(text="x")),)))
    rig.push("a")
    with pytest.raises(Unavailable):
        change_while_it_dies(server, rig)
    server.start()
    with rig.store.reading() as unit:
        assert unit.execute(select(tables.item.c.by_user)).scalar() != "nobody"
    rig.check()


def change_while_it_dies(server, rig):
    with rig.store.writing() as unit:
        unit.execute(tables.item.update().values(by_user="nobody"))
        server.kill()
        unit.execute(select(func.count()).select_from(tables.item))


@pytest.mark.slow
def test_workers_survive_a_server_that_dies_and_comes_back(server, rig):
    one = Step(name="one", action=Run(text="x"), pools={"ram": 1})
    two = Step(name="two", after=("one",), action=Run(text="x"))
    rig.apply(Pipeline(name="line", folder="/p", steps=(one, two)))
    set_pools(rig.store, [Pool(name="ram", slots=("0", "1", "2"))])
    rig.push(*(f"k{number:03}" for number in range(ITEMS)))
    url = server.url("lab")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, url, f"host{n}"], stderr=subprocess.PIPE, text=True
        )
        for n in range(WORKERS)
    ]
    try:
        for enough in (ITEMS // 4, ITEMS):
            wait_until_done(rig, enough)
            server.kill()
            time.sleep(0.3)  # what they try meanwhile fails
            server.start()
        for process in processes:
            _, err = process.communicate(timeout=100)
            assert process.returncode == 0, err
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    rig.link.reap()
    assert set(rig.states().values()) == {"done"}
    with rig.store.reading() as unit:
        query = select(func.count()).where(tables.attempt.c.state == AttemptState.SUCCEEDED.value)
        assert unit.execute(query).scalar() == 2 * ITEMS
        held = select(tables.slot.c.name).where(tables.slot.c.attempt.is_not(None))
        assert unit.execute(held).fetchall() == []
    rig.check()
    assert rig.link.next_due_us() is None


def wait_until_done(rig, n):
    """Wait until so many tasks are done."""
    deadline = time.monotonic() + 60
    query = select(func.count()).where(tables.task.c.state == TaskState.DONE.value)
    while time.monotonic() < deadline:
        with rig.store.reading() as unit:
            if unit.execute(query).scalar() >= n:
                return
        time.sleep(0.02)
    raise AssertionError(f"{n} tasks were not done within 60 s")
