"""The network to the server is cut without a word: work goes on, and the lease decides honestly."""

import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import func, select

import servers
from stoker.errors import Unavailable
from stoker.model.item import NewItem
from stoker.model.pipeline import Pipeline, Run, Step
from stoker.model.states import AttemptState, TaskState
from stoker.spec.load import load_project
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.database.connect import open_store
from stoker.store.orders import versions
from store.rig import Rig
from wire import Wire

ME = Actor("tester")

WORK = """
import sys
from pathlib import Path
from stoker.spec.load import load_project
from stoker.store.database.connect import open_store
from stoker.work.store_link import StoreLink
from stoker.work.worker import Worker
folder, lease_s, name = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
store = open_store(load_project(folder / "stoker.toml").settings.store_url, folder=str(folder / name))
Worker(StoreLink(store), load_project(folder / "stoker.toml").settings, slots=2, drain=True, lease_s=lease_s,
    name=name).work()
store.close()
"""
# An attempt says that it runs, and goes on until it is told to end.
FILE = """
[store]
url = "{url}"
[pipelines.line]
items = "records"
[pipelines.line.steps.one]
run = "echo $$ >>{folder}/{{key}}.began; until [ -e {folder}/end ]; do sleep 0.05; done; echo >>{folder}/{{key}}.ended"
"""


@pytest.fixture(
    params=[pytest.param(kind, marks=getattr(pytest.mark, kind)) for kind in servers.KINDS]
)
def server(request):
    return servers.server(request.param)


@pytest.fixture
def url(server):
    return server.new_database("cut")


@pytest.fixture
def wire(server):
    made = Wire(server.port)
    yield made
    made.close()


@pytest.fixture
def rig(url):
    store = open_store(url, site_name="here")
    yield Rig(store)
    store.close()


@pytest.fixture
def far(url, wire, server, rig):
    """The same store, behind the wire."""
    store = open_store(url.replace(f":{server.port}/", f":{wire.port}/"))
    yield Rig(store)
    wire.heal()
    store.close()


def one_task(rig):
    rig.apply(Pipeline(name="line", folder="/p", steps=(Step(name="one", action=Run(text="x")),)))
    rig.push("a")
    (task,) = rig.claim(rig.worker())
    return task


def until(holds, what, within_s=60):
    """Wait until it holds."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)


def test_who_waits_for_a_silent_server_is_let_go(rig, far, wire):
    task = one_task(rig)
    assert far.counts()[0]
    wire.cut()
    told = []

    def deliver():
        try:
            far.link.finish([far.result(task)])
        except Unavailable as problem:
            told.append(problem)

    thread = threading.Thread(target=deliver)
    thread.start()
    until(lambda: far.store.break_off() or not thread.is_alive(), "the wait ended")
    thread.join()
    assert told
    wire.heal()
    assert far.end(task)
    rig.check()


def test_a_commit_whose_answer_is_lost_counts_once(rig, far, wire, monkeypatch):
    """It reaches the server after all; delivered again, the result is known already."""
    task = one_task(rig)
    result = far.result(task)
    cut = threading.Event()

    def hit(name):
        if name == "transaction.before_commit" and not cut.is_set():
            wire.cut()
            cut.set()

    def sever():
        cut.wait(60)
        until(lambda: far.store.break_off() or freed.is_set(), "the wait ended")

    monkeypatch.setattr("stoker.store.unit.hit", hit)
    freed = threading.Event()
    breaker = threading.Thread(target=sever)
    breaker.start()
    with pytest.raises(Unavailable):
        far.link.finish([result])
    freed.set()
    breaker.join()
    wire.heal()
    assert not far.link.finish([result]), "it counts, now or already"
    with rig.store.reading() as unit:
        done = select(func.count()).where(tables.journal.c.event == "succeed")
        assert unit.execute(done).scalar() == 1
    rig.check()


@pytest.fixture
def project(tmp_path, url, wire, server, rig):
    """A worker behind the wire and one that is not, by the lease of both."""
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    behind = url.replace(f":{server.port}/", f":{wire.port}/")
    for name, where in (("far", behind), ("near", url)):
        text = FILE.format(url=where, folder=tmp_path)
        (tmp_path / name / "stoker.toml").write_text(text)
    line = load_project(tmp_path / "near" / "stoker.toml").pipelines["line"]
    versions.apply_version(rig.store, line, host="h", path="/f")
    started = []

    def start(name, lease_s):
        with (tmp_path / f"{name}.log").open("w") as log:
            worker = subprocess.Popen(
                [sys.executable, "-c", WORK, str(tmp_path / name), str(lease_s), name], stderr=log
            )
        started.append(worker)
        return worker

    yield tmp_path, start
    (tmp_path / "end").touch()
    wire.heal()
    for worker in started:
        worker.kill()
        worker.wait()


def lines(path):
    return path.read_text().split() if path.exists() else []


def push(rig, *keys):
    register.register(rig.store, "line", [NewItem(key=key) for key in keys], ME)


def succeeded(rig):
    with rig.store.reading() as unit:
        done = select(func.count()).where(tables.task.c.state == TaskState.DONE.value)
        return unit.execute(done).scalar()


@pytest.mark.slow
def test_attempts_go_on_while_the_network_is_cut_and_their_results_come_later(rig, project, wire):
    folder, start = project
    push(rig, "a", "b")
    worker = start("far", 600)
    until(lambda: (folder / "a.began").exists() and (folder / "b.began").exists(), "both run")
    wire.cut()
    (folder / "end").touch()
    until(lambda: (folder / "a.ended").exists() and (folder / "b.ended").exists(), "both ended")
    assert succeeded(rig) == 0
    wire.heal()
    assert worker.wait(60) == 0, (folder / "far.log").read_text()
    assert succeeded(rig) == 2
    assert len(lines(folder / "a.began")) == len(lines(folder / "b.began")) == 1
    rig.check()


@pytest.mark.slow
def test_a_worker_cut_off_for_longer_than_its_lease_stops_and_another_does_it(rig, project, wire):
    folder, start = project
    push(rig, "a")
    far = start("far", 3)
    until(lambda: lines(folder / "a.began"), "it runs")
    wire.cut()
    (pid,) = lines(folder / "a.began")
    until(lambda: not is_running(pid), "the worker that is cut off stops its attempt")
    near = start("near", 600)
    until(lambda: len(lines(folder / "a.began")) == 2, "another takes it")
    (folder / "end").touch()
    assert near.wait(60) == 0, (folder / "near.log").read_text()
    wire.heal()
    assert far.wait(60) == 0, (folder / "far.log").read_text()
    assert (folder / "a.ended").exists()
    assert succeeded(rig) == 1
    with rig.store.reading() as unit:
        attempt = tables.attempt.c
        states = unit.execute(select(attempt.state).order_by(attempt.number)).scalars().all()
    assert states == [AttemptState.LOST.value, AttemptState.SUCCEEDED.value]
    rig.check()


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
