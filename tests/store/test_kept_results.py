"""Messages, tables of values and error folders: what the store keeps of them, on each database."""

import os

import pytest
from sqlalchemy import update

from stoker.errors import StaleAttempt
from stoker.model.batch import BatchSystem
from stoker.model.item import NewItem
from stoker.model.notify import Notify
from stoker.model.outpost import Outpost
from stoker.model.pipeline import ErrorFolder, ItemKind, Pipeline
from stoker.model.states import AttemptState
from stoker.model.task import Content, Wanted
from stoker.store import journal_fold, tables
from stoker.store.arrivals.register import register
from stoker.store.holdings import error_folder_care, error_folders
from stoker.store.outposts import entries as sites
from stoker.store.pilots import entries as systems
from stoker.store.reports import asides, messages, written_tables
from stoker.store.unit import Store
from store.groups import a_step
from store.rig import ME

LAB = Notify(name="lab", to=("lab@example.org",), every_s=60.0)


@pytest.fixture
def told(rig):
    """Send what there is to be sent; return the texts."""

    def send(target=LAB):
        journal_fold.fold(rig.store)
        assert messages.hold(rig.store, "me")
        while messages.read_on(rig.store, [target]):
            pass
        messages.note_state(rig.store, [target], {})
        found = messages.due(rig.store, target, settle_us=0)
        for one in found:
            messages.note_sent(rig.store, one)
        messages.let_go(rig.store, "me")
        return [one.digest.text({}) for one in found]

    return send


def pipeline(rig, **more):
    made = Pipeline(
        name="runs", folder="/p", items=ItemKind.RECORDS, steps=(a_step("quant"),), **more
    )
    rig.apply(made)
    return made


def work(rig, *names, failing=()):
    register(rig.store, "runs", [NewItem(key=name) for name in names], ME)
    worker, done = rig.worker(host=rig.store.host), []
    while tasks := rig.claim(worker, 10):
        for task in tasks:
            bad = task.key in failing
            state = AttemptState.FAILED if bad else AttemptState.SUCCEEDED
            rig.end(task, state, **({"reason": "no license"} if bad else {}))
            done.append(task)
    return done


def test_what_happens_is_one_message_and_comes_once(rig, told):
    pipeline(rig)
    told()
    work(rig, "a", "b", "c", failing=("b",))
    (text,) = told()
    assert "2 done, 1 failed" in text
    assert "no license" in text
    assert told() == []


def test_a_message_that_was_not_delivered_stays(rig, told):
    pipeline(rig)
    told()
    work(rig, "a", failing=("a",))
    journal_fold.fold(rig.store)
    assert messages.hold(rig.store, "me")
    assert not messages.hold(rig.store, "another"), "one service at a time"
    messages.read_on(rig.store, [LAB])
    (due,) = messages.due(rig.store, LAB, settle_us=0)
    messages.note_failed(rig.store, due, "the server refused it")
    with rig.store.reading() as unit:
        status = asides.notifiers(unit)["lab"]
    assert (status.pending, status.trouble) == (1, "the server refused it")
    assert messages.due(rig.store, LAB, settle_us=0) == [], "it is tried again later"


def test_batch_systems_and_sites_in_trouble_are_reported_once(rig, told):
    store: Store = rig.store
    systems.set_entries(
        store, [BatchSystem(name="main", system="slurm", time_limit_s=60)], file="/f"
    )
    sites.set_entries(store, [Outpost(name="lyon", folder="/sps", overdue_s=60)], file="/f")
    assert told() == []
    sites.note_visit(store, "lyon", trouble=None, told={})
    sites.note_visit(store, "lyon", trouble="the line is cut")
    with store.writing() as unit:
        systems.change(unit, "main", held_by="anna", reason="maintenance")
    assert told() == [], "a person knows what she holds, and a cut line may be back in a minute"
    with store.writing() as unit:
        systems.change(unit, "main", held_by="", reason="3 pilots never worked: no license")
        outpost = tables.outpost
        unit.execute(update(outpost).values(answered_us=outpost.c.answered_us - 90_000_000))
    (text,) = told()
    assert "batch system main is held: 3 pilots never worked: no license" in text
    assert "site lyon has not answered for longer than it may: the line is cut" in text
    assert told() == []


def test_a_table_knows_what_it_wrote_and_whether_there_is_more(rig):
    pipeline(rig)
    work(rig, "a")
    journal_fold.fold(rig.store)
    now = written_tables.moment(rig.store)
    content = Content(size_bytes=3, checksum="xxh3:1")
    written_tables.begin(rig.store, "runs", "all", path="/t/a.csv", spec="{}", content=content)
    written_tables.note_written(rig.store, "runs", "all", at=now, n=1)
    later = Content(size_bytes=4, checksum="xxh3:2")
    written_tables.begin(rig.store, "runs", "all", path="/t/a.csv", spec="{}", content=later)
    found = written_tables.find(rig.store, "runs", "all")
    assert found.known == {"xxh3:1", "xxh3:2"}, "killed now, either may be there"
    assert not written_tables.has_changed(rig.store, "runs", found)
    work(rig, "b")
    journal_fold.fold(rig.store)
    assert written_tables.has_changed(rig.store, "runs", found)
    written_tables.note_trouble(
        rig.store, "runs", "all", path="/t/a.csv", spec="{}", trouble="disk full"
    )
    assert written_tables.find(rig.store, "runs", "all").trouble == "disk full"
    written_tables.forget_others(rig.store, "runs", [])
    assert written_tables.known_names(rig.store) == {}


def test_an_error_folder_is_owed_until_it_is_written_and_goes_when_the_item_is_done(rig):
    pipeline(rig, error_folder=ErrorFolder(to="errors/{key}/"))
    (failed,) = work(rig, "a", failing=("a",))
    attempt = failed.attempt
    (due,) = error_folder_care.due(rig.store)
    assert due.attempt == attempt
    error_folders.begin(rig.store, attempt, failed.task_id, ["/p/errors/a"], is_later=True)
    content = Content(size_bytes=1, checksum="xxh3:1", parts=b"12345678")
    wanted = Wanted(names=("/p/errors/a",), content=content)
    error_folders.reserve(rig.store, attempt, failed.task_id, wanted, is_later=True)
    error_folder_care.note_written(rig.store, attempt)
    assert error_folder_care.due(rig.store) == []
    with rig.store.reading() as unit:
        assert error_folders_at(unit, "/p/errors/a") == ["/p/errors/a"]
    with pytest.raises(StaleAttempt):
        error_folders.begin(rig.store, os.urandom(16), failed.task_id, ["/p/errors/a"])


def error_folders_at(unit, path):
    return list(error_folder_care.items_at(unit, [path]))
