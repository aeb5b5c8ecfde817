"""Somebody who is stopped inside a transaction locks everybody out of an SQLite store."""

import os
import signal
import subprocess
import sys

import pytest

from faults.site import kill, state_of
from stoker.errors import Unavailable
from stoker.store.claims import workers
from stoker.store.database.connect import open_store
from stoker.store.dialects import sqlite

HOLD = """
import os, signal, sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute("BEGIN IMMEDIATE")
os.kill(os.getpid(), signal.SIGSTOP)
store.execute("ROLLBACK")
"""


@pytest.fixture
def holder(site):
    """A process that is stopped while it holds the write lock of the site's store."""
    site.write('[pipelines.p.steps.s]\nrun = "true"')
    site.apply()
    site.push("k")
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(site.database)])
    site.wait(lambda: state_of(process.pid) == "T", "it holds the lock")
    yield process
    kill(process.pid)
    process.wait()


def test_whoever_waits_for_it_is_told_who_it_is_and_what_to_do(site, holder, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 100)
    store = open_store(site.settings.store_url)
    try:
        with pytest.raises(Unavailable, match=f"process {holder.pid} .*`kill -CONT {holder.pid}`"):
            workers.note_trouble(store, 1, None)
        os.kill(holder.pid, signal.SIGCONT)
        assert holder.wait(20) == 0
        workers.note_trouble(store, 1, None)
    finally:
        store.close()


def test_a_process_that_only_has_the_store_open_is_not_named(site):
    site.write('[pipelines.p.steps.s]\nrun = "true"')
    site.apply()
    assert sqlite.stopped_holder(site.database) is None
