"""Jobs of clients: registered once however often they are asked for, listed, removed, reported."""

import threading

import pytest
from sqlalchemy import func, select, update

from stoker.errors import LimitReached, NotFound
from stoker.model.item import NewItem
from stoker.model.selection import Selection
from stoker.store import tables, web_tables
from stoker.store.actor import Actor
from stoker.store.arrivals.submissions import Client
from stoker.store.arrivals.submit import OtherBody, OtherVersion, Submission, submit
from stoker.store.orders import callbacks, verbs
from stoker.store.orders.versions import apply_version
from stoker.store.reports.job_list import JobFilter, page_of_jobs
from stoker.store.reports.jobs import job, removed
from stoker.store.reports.offered import offered
from stoker.store.retention import jobs as removal
from stoker.store.retention import submitted

ME = Actor("ben")


@pytest.fixture
def line(store, pipeline):
    spec = pipeline(first=(), second=("first",))
    apply_version(store, spec, host="here", path="/project/stoker.toml", actor=ME, take_over=True)
    return offered(store)["line"]


def one(key, client="address:127.0.0.1", **more):
    return Submission(
        item=NewItem(key=key * 32), user="anonymous", client=Client(name=client), **more
    )


def count(store, table):
    with store.reading() as unit:
        return unit.execute(select(func.count()).select_from(table)).scalar_one()


def test_a_request_that_is_repeated_is_the_same_job(store, line):
    once = (b"k" * 16, b"b" * 16)
    assert submit(store, "line", [one("a", once=once)]) == ["a" * 32]
    assert submit(store, "line", [one("b", once=once)]) == ["a" * 32]
    (other,) = submit(store, "line", [one("c", once=(b"k" * 16, b"x" * 16))])
    assert isinstance(other, OtherBody)
    assert submit(store, "line", [one("d", client="address:::1", once=once)]) == ["d" * 32]
    twice = (b"2" * 16, b"b" * 16)
    assert submit(store, "line", [one("e", once=twice), one("f", once=twice)]) == ["e" * 32] * 2
    assert count(store, tables.item) == 3
    with store.writing() as unit:
        day_us = 24 * 3600 * 1_000_000
        at_us = web_tables.remembered_request.c.at_us
        unit.execute(update(web_tables.remembered_request).values(at_us=at_us - day_us - 1))
    assert submit(store, "line", [one("0", once=once)]) == ["0" * 32]


def test_processes_that_take_the_same_request_at_once_make_one_job(store, line):
    once, found = (b"k" * 16, b"b" * 16), []
    begin = threading.Barrier(6)

    def ask(key):
        begin.wait()
        found.extend(submit(store, "line", [one(key, once=once)]))

    threads = [threading.Thread(target=ask, args=(key,)) for key in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert count(store, tables.item) == count(store, web_tables.job) == 1


def test_a_request_that_was_checked_against_another_version_is_not_taken(store, line):
    (found,) = submit(store, "line", [one("a", version=line.version + 1)])
    assert isinstance(found, OtherVersion)
    assert submit(store, "line", [one("b", version=line.version)]) == ["b" * 32]
    with pytest.raises(NotFound):
        submit(store, "none", [one("c")])


def test_the_limit_of_a_client_leaves_nothing_behind(store, line):
    client = Client(name="token:ci", max_open=2)
    many = [
        Submission(
            item=NewItem(key=key * 32), user="ci", client=client, once=(key.encode() * 16,) * 2
        )
        for key in "abc"
    ]
    with pytest.raises(LimitReached):
        submit(store, "line", many)
    for table in (tables.item, web_tables.job, web_tables.remembered_request):
        assert count(store, table) == 0
    assert len(submit(store, "line", many[:2])) == 2


def test_lists_of_jobs_go_both_ways(store, line):
    keys = [f"{number:032x}" for number in range(7)]
    for key in keys:
        submit(store, "line", [Submission(item=NewItem(key=key), user=key[-1])])
    found, place = [], None
    while True:
        page = page_of_jobs(store, JobFilter(), word_of=lambda _: "", limit=3, older_than=place)
        found += [one.key for one in page.jobs]
        if page.older is None:
            break
        place = page.older
    assert found == keys[::-1]
    back = page_of_jobs(store, JobFilter(), word_of=lambda _: "", limit=3, newer_than=page.newer)
    assert [one.key for one in back.jobs] == keys[1:4][::-1]
    rest = page_of_jobs(store, JobFilter(), word_of=lambda _: "", limit=3, older_than=back.older)
    assert [one.key for one in rest.jobs] == keys[:1]
    mine = page_of_jobs(store, JobFilter(by="3"), word_of=lambda _: "", limit=3)
    assert [one.key for one in mine.jobs] == [keys[3]]
    assert mine.older is mine.newer is None
    none = page_of_jobs(store, JobFilter(pipelines=("x",)), word_of=lambda _: "", limit=3)
    assert not none.jobs


def test_a_job_that_is_removed_is_gone_for_its_client_at_once(store, line):
    key = "a" * 32
    submit(store, "line", [one("a", subscriber={"success": "https://example.org/"})])
    verbs.cancel(store, Selection(keys=(key,)), ME)
    assert job(store, key).is_over
    removal.mark_removed(store, key)
    with pytest.raises(NotFound):
        job(store, key)
    assert removed(store, key).by == "anonymous"
    assert callbacks.due(store) == []
    assert removal.marked(store) == [("line", key)]  # as after a crash
    assert submitted.forget_item(store, "line", key)
    assert removal.marked(store) == []
    assert count(store, tables.item) == 0
    with store.writing() as unit:
        unit.execute(update(web_tables.job).values(removed_us=1))
    removal.tidy(store)
    assert count(store, web_tables.job) == 0


def test_one_process_sends_a_report_and_it_is_sent_again_until_the_last_try(store, line):
    submit(store, "line", [one("a", subscriber={"success": "https://example.org/"})])
    (due,) = callbacks.due(store)
    assert due.urls == {"success": "https://example.org/"}
    assert callbacks.claim(store, due)
    assert not callbacks.claim(store, due)
    assert callbacks.due(store) == []
    for tries in range(len(callbacks.PAUSES_S)):
        again = callbacks.Due(key=due.key, urls=due.urls, reported=0, tries=tries, due_us=0)
        assert callbacks.put_off(store, again, "no answer")
    last = callbacks.Due(key=due.key, urls=due.urls, reported=0, tries=tries + 1, due_us=0)
    assert not callbacks.put_off(store, last, "no answer")
    assert callbacks.secret(store) == callbacks.secret(store)
