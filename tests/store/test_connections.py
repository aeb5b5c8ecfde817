"""The pool of connections: bounded, given back by each transaction, and never in a lease's way."""

import threading
from contextlib import ExitStack, closing

import pytest
from sqlalchemy import event

from stoker.errors import Bug, StokerError, Unavailable
from stoker.store import connections
from stoker.store.connections import KEPT_BY_MANY, MOST, MOST_READING
from stoker.store.database.connect import open_store
from stoker.store.reports import overview
from stoker.work.store_link import StoreLink

THREADS = 200


@pytest.fixture
def counted(rig, url):
    """A store of its own, which counts its open connections."""
    with closing(open_store(url)) as store:
        store.open = store.most = 0

        def opened(*_):
            store.open += 1
            store.most = max(store.most, store.open)

        def ended(*_):
            store.open -= 1

        event.listen(store.engine, "connect", opened)
        event.listen(store.engine, "close", ended)
        with store.connected():
            pass
        store.most = store.open = 1
        yield store


def in_threads(target, count=THREADS):
    """Run it in so many threads at once, and hold that no thread meets an error of the store."""
    wrong, barrier = [], threading.Barrier(count)

    def work():
        barrier.wait()
        try:
            target()
        except StokerError as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_threads_one_after_the_other_share_one_connection(counted):
    for _ in range(THREADS):
        thread = threading.Thread(target=overview.workers, args=(counted,))
        thread.start()
        thread.join()
    assert (counted.open, counted.most) == (1, 1)


def test_many_threads_at_once_take_turns(counted, monkeypatch):
    in_threads(lambda: overview.workers(counted))
    assert counted.open <= counted.most <= MOST_READING
    monkeypatch.setattr(connections, "IDLE_S", -1.0)
    overview.workers(counted)
    assert counted.open == 0, "connections that nobody needed stayed open"
    overview.workers(counted)


def test_a_store_of_a_batch_job_keeps_two_connections(counted):
    in_threads(lambda: overview.workers(counted), MOST)
    counted.keep_few()
    overview.workers(counted)
    assert counted.open <= KEPT_BY_MANY
    in_threads(lambda: overview.workers(counted), MOST)
    assert counted.open <= KEPT_BY_MANY


def test_a_transaction_that_failed_gives_its_connection_back(counted):
    for _ in range(2 * MOST):
        with pytest.raises(ZeroDivisionError), counted.reading():
            raise ZeroDivisionError
        with pytest.raises(ZeroDivisionError), counted.connected():
            raise ZeroDivisionError
    assert overview.workers(counted) == []
    assert counted.most == 1


def test_a_lease_and_a_writer_wait_for_no_reader(counted, rig, monkeypatch):
    monkeypatch.setattr(connections, "WAIT_S", 0.1)
    worker = rig.worker()
    with lent(counted, MOST_READING, writes=False):
        with pytest.raises(Unavailable, match=f"all its {MOST} connections"):
            overview.workers(counted)
        with counted.writing():
            pass
        with lent(counted, MOST - MOST_READING, writes=True):
            with pytest.raises(Unavailable), counted.writing():
                pass
            assert StoreLink(counted).renew(worker, lease_s=20).is_alive
            with pytest.raises(Unavailable), counted.writing():
                pass
    assert overview.workers(counted)


def test_nobody_begins_a_transaction_within_another(counted):
    with (
        counted.reading(),
        pytest.raises(Bug, match="within another"),
        counted.writing(),
    ):
        pass
    assert overview.workers(counted) == []


def test_a_closed_store_keeps_nothing_of_what_was_lent(counted):
    with lent(counted, 3, writes=False):
        counted.close()
        assert counted.open == 0
    assert counted.open == 0


class lent(ExitStack):  # noqa: N801 - reads as a verb
    """So many connections are in the hands of other threads."""

    def __init__(self, store, count, *, writes):
        super().__init__()
        self.store, self.writes = store, writes
        self.over = threading.Event()
        self.ready = threading.Barrier(count + 1)
        self.threads = [threading.Thread(target=self._keep) for _ in range(count)]

    def _keep(self):
        connection, _ = self.store.borrow(writes=self.writes, wait_s=10)
        self.ready.wait(10)
        self.over.wait(30)
        self.store.hand_back(connection)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.ready.wait(10)
        return super().__enter__()

    def __exit__(self, *details):
        self.over.set()
        for thread in self.threads:
            thread.join()
        return super().__exit__(*details)
