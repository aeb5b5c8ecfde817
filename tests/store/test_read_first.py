"""What changes nothing takes no lock: it answers while another connection is alone on the store."""

import threading
import time
from contextlib import contextmanager

import pytest

from stoker.errors import NotFound, VersionConflict
from stoker.model.item import NewItem
from stoker.model.worker import Reaped
from stoker.store import journal_fold
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.brief_waits import if_free
from stoker.store.database.connect import open_store
from stoker.store.forecasts import reordering
from stoker.store.orders import versions
from stoker.store.reports import overview
from stoker.store.statement_kinds import NeedsLock
from stoker.store.unit import Unit

ME = Actor("tester")

LIMIT_S = 5.0  # a writer would wait for 30


@contextmanager
def locked(url):
    """Somebody else holds the lock that keeps all others from writing."""
    begun, over = threading.Event(), threading.Event()

    def hold():
        other = open_store(url)
        with other.writing(alone=True):
            begun.set()
            over.wait(60)
        other.close()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert begun.wait(20)
        began_s = time.monotonic()
        yield
        assert time.monotonic() - began_s < LIMIT_S
    finally:
        over.set()
        thread.join()


@pytest.fixture
def line(pipeline):
    return pipeline(one=(), two=("one",))


def test_verbs_with_nothing_to_change_answer_while_the_store_is_locked(rig, url, line):
    rig.apply(line)
    rig.push("a", "b")
    (task,) = rig.claim(rig.worker())
    journal_fold.fold(rig.store)
    with locked(url):
        assert not rig.apply(line).is_new
        assert rig.push("a", "b").known == 2
        assert rig.link.reap() == Reaped()
        assert overview.status(rig.store).pipelines["line"].tasks["running"] == 1
        with if_free(rig.store):
            reordering.look_after(rig.store, at_once=True)
    assert rig.push("a", "c").registered == 1
    assert rig.end(task)
    rig.check()


def test_a_look_for_dead_workers_is_one_statement(rig, line, monkeypatch):
    """Each worker looks every few seconds, and nearly always finds nothing."""
    rig.apply(line)
    rig.push("a", "b")
    tasks = rig.claim(rig.worker(), limit=2)
    rig.end(tasks[0])
    seen = []
    run = Unit.run

    def noted(unit, statement, **values):
        seen.append(statement)
        return run(unit, statement, **values)

    monkeypatch.setattr(Unit, "run", noted)
    monkeypatch.setattr(Unit, "execute", lambda *_: pytest.fail("built anew"))
    assert rig.link.reap() == Reaped()
    assert len(seen) == 1


def test_a_mistake_is_found_while_the_store_is_locked(rig, url, line, pipeline):
    rig.apply(line)
    with locked(url):
        with pytest.raises(NotFound):
            register.register(rig.store, "nothing", [NewItem(key="a")], ME)
        with pytest.raises(VersionConflict):
            versions.apply_version(rig.store, pipeline(*line.steps[:1]), host="x", path="/y")


def test_nothing_is_changed_by_a_transaction_that_only_reads(rig, line):
    rig.apply(line)
    with rig.store.reading_only(), pytest.raises(NeedsLock):
        register._register_chunk(
            rig.store,
            "line",
            {"a": NewItem(key="a")},
            register.Origin("ann"),
            dry_run=False,
        )
    assert rig.states() == {}
    rig.check()
