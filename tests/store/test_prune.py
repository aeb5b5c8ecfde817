"""Forgetting by age and state: what goes, what stays, and that the journal still tells it all."""

from pathlib import Path

import pytest
from sqlalchemy import select, update

from stoker.errors import NotFound, UserError
from stoker.model.item import NewItem
from stoker.model.pipeline import Verdict
from stoker.model.retention import Retention
from stoker.model.states import AttemptState
from stoker.model.task import Published, Stream
from stoker.store import journal_fold, tables, unit
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.database.connect import open_store
from stoker.store.dialects import BrokenOff
from stoker.store.holdings import publications
from stoker.store.orders import verbs
from stoker.store.reports import lists
from stoker.store.reports.attempts import attempts, streams_of
from stoker.store.retention import deleted_logs, forget, prune
from store.rig import ME, Rig, wanted

A, J = tables.attempt, tables.journal
ALL = tuple(word for word in AttemptState.words() if word != "running")


def ages(age_s, *words):
    return dict.fromkeys(words or ALL, age_s)


@pytest.fixture
def tried(rig, pipeline, tmp_path):
    """Two items: `a` was done twice, `b` failed twice and is to be tried again; all have logs."""
    rig.apply(pipeline(one=()))
    rig.push("a", "b")
    worker = rig.worker()
    for round_ in range(2):
        for task in rig.claim(worker, 2):
            log = tmp_path / f"{task.key}{round_}.out"
            log.write_text("words")
            kept = {
                "stdout": Stream(size_bytes=5, path=str(log)),
                "stderr": Stream(size_bytes=3, text=b"bad"),
            }
            if task.key == "a":
                made = Published(name="o", path=f"/out/a{round_}", size_bytes=1, checksum="x")
                rig.end(task, outputs=(made,), **kept)
            else:
                rig.end(task, AttemptState.FAILED, **kept)
        rerun(rig)
    return rig


def rerun(rig):
    verbs.rerun(rig.store, rig.select(keys=("a",)), ME)
    verbs.retry(rig.store, rig.select(keys=("b",)), ME)


def of(rig):
    """Item, number and state of every attempt."""
    return sorted((row.item, row.number, row.state) for row in attempts(rig.store, rig.select()))


def test_attempts_that_were_followed_by_others_go_and_the_last_stay(tried):
    dry = prune.prune(tried.store, Retention(attempts=ages(0)), dry_run=True)
    assert (dry.attempts, dry.log_files, len(of(tried))) == (2, 2, 4)
    done = prune.prune(tried.store, Retention(attempts=ages(0)))
    assert (done.attempts, done.log_files) == (2, 2)
    assert of(tried) == [("a", 2, "succeeded"), ("b", 2, "failed")]
    tried.check()
    tried.work(tried.worker())
    tried.check()


def test_age_and_state_decide(tried):
    assert prune.prune(tried.store, Retention(attempts=ages(3600))).attempts == 0
    assert prune.prune(tried.store, Retention(attempts=ages(0, "lost"))).attempts == 0
    assert (
        prune.prune(
            tried.store, Retention(attempts=ages(0)), selection=tried.select(pipeline="line")
        ).attempts
        == 2
    )
    assert prune.prune(tried.store, Retention(items={"cancelled": 0})).items == 0


def test_an_attempt_that_owns_a_path_stays(tried):
    with tried.store.writing() as one:
        row = one.execute(select(A.c.id, A.c.task_id).order_by(A.c.id).limit(1)).one()
        publications.take(one, row.id, row.task_id, [wanted("/out/a0")])
    prune.prune(tried.store, Retention(attempts=ages(0)))
    assert len(of(tried)) == 3


def test_logs_go_and_their_sizes_stay(tried, tmp_path):
    dry = prune.prune(tried.store, Retention(logs=ages(0, "succeeded")), dry_run=True)
    assert (dry.streams, dry.log_files, dry.log_bytes) == (2, 2, 10)
    assert len(list(tmp_path.glob("*.out"))) == 4
    done = prune.prune(tried.store, Retention(logs=ages(0, "succeeded")))
    assert (done.streams, done.log_files, done.log_bytes) == (2, 2, 10)
    assert sorted(path.name for path in tmp_path.glob("*.out")) == ["b0.out", "b1.out"]
    (row,) = [r for r in attempts(tried.store, tried.select()) if (r.item, r.number) == ("a", 1)]
    kept = streams_of(tried.store, row.id)
    assert (kept["stdout"].size_bytes, kept["stdout"].path, kept["stderr"].text) == (5, None, None)
    assert prune.prune(tried.store, Retention(logs=ages(0, "succeeded"))).is_nothing
    tried.check()


def test_a_log_on_another_host_is_deleted_there(tried, url, tmp_path):
    far = tmp_path / "a0.out"
    far.rename(tmp_path / "not-seen-from-here")
    tried.store.host = "here"
    done = prune.prune(tried.store, Retention(logs=ages(0)))
    assert (done.log_files, done.elsewhere) == (3, 1)
    (tmp_path / "not-seen-from-here").rename(far)
    there = open_store(url)
    there.host = "host"
    assert [None for _ in deleted_logs.remove(there, prune.Pruned())]
    assert not far.exists()
    with there.reading() as one:
        assert one.execute(select(tables.waste)).all() == []
    there.close()


def rows_of(rig, key):
    journal_fold.fold(rig.store)
    with rig.store.reading() as one:
        query = select(J.c.event).where(J.c.key == key).order_by(J.c.id)
        return list(one.execute(query).scalars())


def test_one_row_of_the_journal_tells_of_an_item_what_many_did(tried):
    tried.work(tried.worker())
    assert len(rows_of(tried, "a")) > 6
    dry = prune.prune(tried.store, Retention(journal=0), dry_run=True)
    done = prune.prune(tried.store, Retention(journal=0))
    assert (dry.journal_rows, dry.condensed) == (done.journal_rows, done.condensed)
    assert rows_of(tried, "a") == ["condense"]
    tried.check()
    assert prune.prune(tried.store, Retention(journal=0)).is_nothing
    rerun(tried)
    tried.check()
    tried.work(tried.worker())
    assert rows_of(tried, "a") == ["condense", "rerun", "claim", "succeed"]
    assert prune.prune(tried.store, Retention(journal=0)).condensed == 4
    assert rows_of(tried, "a") == ["condense"]
    tried.check()


def test_an_item_that_was_forgotten_leaves_nothing_in_the_journal(tried):
    tried.work(tried.worker())
    done = prune.prune(tried.store, Retention(items={"done": 0}))
    assert done.items == 2
    prune.prune(tried.store, Retention(items={"done": 0}))
    assert rows_of(tried, "a") == []
    tried.push("a")
    tried.work(tried.worker())
    tried.check()


def test_forgetting_is_done_again_where_the_database_broke_it_off(tried, monkeypatch):
    broken = []

    def once(name):
        if len(broken) < 2 and name.endswith("before_commit"):
            broken.append(name)
            raise BrokenOff("a deadlock")

    tried.work(tried.worker())
    monkeypatch.setattr(unit.time, "sleep", lambda _: None)
    monkeypatch.setattr(forget, "hit", once)
    everything = Retention(items={"done": 0}, attempts=ages(0), logs=ages(0), journal=0)
    done = prune.prune(tried.store, everything)
    assert len(broken) == 2
    assert (done.items, done.tasks, done.attempts) == (2, 2, 6)
    tried.check()


def test_a_busy_store_is_pruned_beside_its_work(tried, url):
    other = open_store(url)
    there = Rig(other)
    worker = there.worker()
    everything = Retention(items={"done": 0}, attempts=ages(0), logs=ages(0), journal=0)
    for _ in prune.steps(tried.store, everything, prune.Pruned()):
        there.push("c", "d")
        for task in there.claim(worker, 3):
            there.end(task)
    there.check()
    other.close()


def test_a_file_of_sqlite_becomes_smaller(tmp_path, pipeline):
    store = open_store(f"sqlite:///{tmp_path}/s.db")
    rig = Rig(store)
    rig.apply(pipeline(one=()))
    rig.push(*(f"{number:04}" for number in range(750)))
    worker = rig.worker()
    while tasks := rig.claim(worker, 500):
        wrote = Stream(size_bytes=12_000, text=b"x" * 12_000)
        rig.link.finish([rig.result(task, stderr=wrote) for task in tasks])
    store.checkpoint()
    before = Path(f"{tmp_path}/s.db").stat().st_size
    assert before > 9_000_000
    prune.prune(store, Retention(items={"done": 0}))
    store.checkpoint()
    assert Path(f"{tmp_path}/s.db").stat().st_size < before * 0.75
    with store.reading() as one:
        assert store.dialect.quick_check(one.connection) == []
    rig.check()
    store.close()


OVER = Retention(items={"done": 0, "cancelled": 0})
STILL_THERE = ["failed", "held", "quarantined", "ready", "running"]


@pytest.fixture
def mixed(rig, pipeline):
    """An item in each state, named after it; `done2` too, from another person and larger."""
    rig.apply(pipeline(one=(), two=("one",)))
    rig.push("done", size_bytes=1, params={"n": 1})
    more = NewItem(key="done2", path="/data/done2", size_bytes=9, params={"n": 2})
    register.register(rig.store, "line", [more], Actor("other"))
    worker = rig.worker()
    rig.work(worker)
    rig.push("failed", "cancelled")
    for task in rig.claim(worker, 2):
        rig.end(task, AttemptState.FAILED, verdict=Verdict.FAIL, cause="bad", reason="bad line")
    verbs.cancel(rig.store, rig.select(keys=("cancelled",)), ME)
    rig.push("running")
    assert [task.key for task in rig.claim(worker, 1)] == ["running"]
    rig.push("held", "ready")
    verbs.hold(rig.store, rig.select(keys=("held",)), ME)
    rig.push("quarantined", reason="no file")
    return rig


def names(rig):
    return sorted(row.item for row in lists.items(rig.store, rig.select()))


FORGOTTEN = [
    ({}, ["cancelled", "done", "done2"]),
    ({"keys": ("*",)}, ["cancelled", "done", "done2"]),
    ({"keys": ("done", "ready", "nowhere")}, ["done"]),
    ({"keys": ("done?", "*ed")}, ["cancelled", "done2"]),
    ({"from_key": "d", "to_key": "done"}, ["done", "done2"]),
    ({"from_key": "d", "to_key": "done1"}, ["done"]),
    ({"states": ("cancelled",)}, ["cancelled"]),
    ({"states": ("done",), "keys": ("*2",), "pipeline": "line"}, ["done2"]),
    ({"by": "other"}, ["done2"]),
    ({"match": "BAD LINE"}, ["cancelled"]),
    ({"where": "params.n > 1"}, ["done2"]),
    ({"where": "size < 5 && state == 'done'", "keys": ("d*",)}, ["done"]),
    ({"where": "key.startsWith('r')"}, []),
]


def test_only_what_is_selected_and_over_is_forgotten(mixed):
    everything = sorted([*STILL_THERE, "cancelled", "done", "done2"])
    for narrow, keys in FORGOTTEN:
        dry = prune.prune(mixed.store, OVER, selection=mixed.select(**narrow), dry_run=True)
        assert (narrow, sorted(dry.examples)) == (narrow, [f"line: {key}" for key in keys])
        assert dry.items == len(keys)
    assert names(mixed) == everything
    for narrow, key in (({"match": "bad"}, "cancelled"), ({"where": "size > 5"}, "done2")):
        done = prune.prune(mixed.store, OVER, selection=mixed.select(**narrow))
        assert (done.items, done.tasks) == (1, 2)
        everything.remove(key)
        assert names(mixed) == everything
        mixed.check()
    assert prune.prune(mixed.store, OVER, selection=mixed.select(keys=("*",))).items == 1
    assert names(mixed) == STILL_THERE
    mixed.check()


def test_a_selection_does_not_make_anything_older(mixed):
    young = Retention(items={"done": 3600})
    assert prune.prune(mixed.store, young, selection=mixed.select(keys=("*",))).is_nothing


def test_a_selection_leaves_attempts_logs_and_journal_alone(tried):
    tried.work(tried.worker())
    story = rows_of(tried, "a")
    everything = Retention(items={"done": 0}, attempts=ages(0), logs=ages(0), journal=0)
    done = prune.prune(tried.store, everything, selection=tried.select(keys=("b",)))
    assert (done.items, done.attempts, done.streams, done.journal_rows) == (1, 3, 0, 0)
    assert [key for key, *_ in of(tried)] == ["a"] * 3
    assert rows_of(tried, "a") == story
    assert rows_of(tried, "b")[-1] == "forget"
    tried.check()
    assert prune.prune(tried.store, everything).items == 1
    assert rows_of(tried, "b") == []
    tried.check()


def test_a_selection_that_cannot_be_meant_is_refused_and_nothing_is_done(mixed):
    said, there = mixed.events(), names(mixed)
    of_done = Retention(items={"done": 0})
    for narrow, error, words in (
        ({"pipeline": "lime"}, NotFound, "did you mean `line`"),
        ({"steps": ("one",)}, UserError, "without `--step`"),
        ({"states": ("failed",)}, UserError, "`failed` is not a state in which items can be"),
        ({"states": ("dome",)}, UserError, "`dome` is not a state"),
        ({"states": ("cancelled",)}, UserError, "give the age of the items to forget"),
        ({"where": "sise > 5"}, UserError, "speaks of `sise`"),
    ):
        with pytest.raises(error, match=words):
            prune.prune(mixed.store, of_done, selection=mixed.select(**narrow), actor=ME)
    assert (mixed.events(), names(mixed)) == (said, there)


def test_ids_of_attempts_tell_their_time(tried):
    """Windows of attempts are found by it."""
    with tried.store.reading() as one:
        for row in one.execute(select(A.c.id, A.c.claimed_us)):
            assert abs(int.from_bytes(row.id[:6], "big") - row.claimed_us // 1000) < 60_000
    with tried.store.writing() as one:
        one.execute(update(A).values(ended_us=A.c.ended_us - 10**12))
    assert (
        prune.prune(tried.store, Retention(attempts=ages(1000, "failed", "succeeded"))).attempts
        == 0
    )
