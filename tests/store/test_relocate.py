"""A store moves to another database, is backed up and restored: whole, once, and nowhere twice."""

from contextlib import contextmanager

import pytest
from sqlalchemy import select, update

import servers
from stoker.errors import Bug, Conflict, NotFound, Refused, StokerError, UserError
from stoker.failpoints import hit
from stoker.model.pool import Pool
from stoker.model.retention import Retention
from stoker.model.states import AttemptState
from stoker.model.task import Published
from stoker.store import journal_fold, tables
from stoker.store.database import copying, invariants, rebuild, relocate, schema
from stoker.store.database.connect import bare, open_store
from stoker.store.retention import prune
from store.rig import Rig, set_pools

# Where a store of each kind moves to: each kind is left once, and come to once.
NEXT = {"sqlite": "postgresql", "postgresql": "mariadb", "mariadb": "sqlite"}
on_each = pytest.mark.parametrize(
    "database",
    [
        pytest.param("sqlite", marks=pytest.mark.postgresql),
        pytest.param("postgresql", marks=(pytest.mark.postgresql, pytest.mark.mariadb)),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ],
    indirect=True,
)


@pytest.fixture
def database(request):
    """SQLite, where a test does not ask for each kind."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def target_url(database, tmp_path):
    """The URL of a database of the next kind, without a store."""
    kind = NEXT[database]
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/target/stoker.db"
    return servers.server(kind).new_database("target")


@pytest.fixture
def old(rig, pipeline):
    """A store with a history: what is done, failed, lost, rerun, forgotten, odd and long."""
    rig.apply(pipeline(one=(), two=("one",)))
    rig.apply(pipeline(one=(), two=("one",), three=("two",)))
    set_pools(rig.store, [Pool(name="ram", slots=("0", "1"))])
    rig.push("gone", "a")
    first = rig.worker(host="first")
    rig.work(first)
    assert prune.prune(rig.store, Retention(items={"done": 0})).items == 2
    rig.push("a", "condensed")
    rig.work(first)
    rig.link.retire(first)
    assert prune.prune(rig.store, Retention(journal=0)).condensed
    rig.push(*(f"k{number:03}" for number in range(40)), "ü/🜚", "A")
    worker = rig.worker()
    for number, task in enumerate(rig.claim(worker, 30)):
        made = Published(name="o", path=f"/out/{task.key}", size_bytes=number, checksum="x")
        rig.end(task, outputs=(made,), stdout=rig.result(task).stdout)
    failed, lost = rig.claim(worker, 2)
    rig.end(failed, AttemptState.FAILED, reason="no 'licence'\n\t\\ ü", exit_code=3)
    assert lost.attempt
    rig.lapse(worker)
    other = rig.worker(host="other")
    for task in rig.claim(other, 100):
        rig.end(task)
    rig.link.retire(other)
    journal_fold.fold(rig.store)
    return rig


@contextmanager
def at(url):
    with bare(url) as found:
        yield found


def content(store):
    """All rows of all tables, but for where the store lies and whether it is in use."""
    with store.reading() as unit:
        found = {}
        for table in tables.metadata.sorted_tables:
            own = ("machine", "path", "set_aside") if table is tables.site else ()
            rows = [dict(row._mapping) | dict.fromkeys(own) for row in unit.execute(select(table))]
            found[table.name] = sorted(map(repr, rows))
        return found


@on_each
def test_a_store_moves_with_its_whole_history(old, target_url):
    with at(target_url) as target:
        done = relocate.move(old.store, target, named=target_url)
    assert done.tables["item"] >= 40
    assert done.replayed == done.tables["item"]
    moved = open_store(target_url)
    before = content(old.store)
    assert content(moved) == before
    assert {name: len(rows) for name, rows in before.items()} == done.tables
    there = Rig(moved)
    there.push("new", "more")
    there.work(there.worker())
    there.check()
    moved.close()


@on_each
def test_nobody_records_anything_in_a_store_that_was_moved(old, url, tmp_path):
    early = open_store(url)
    to = f"sqlite:///{tmp_path}/new.db"
    with at(to) as target:
        relocate.move(old.store, target, named=to)
    with pytest.raises(Refused, match="moved"):
        Rig(early).push("late")
    early.close()
    with pytest.raises(Refused, match=r"new\.db"):
        open_store(url)
    with at(f"{to}2") as third, pytest.raises(Refused, match="moved to"):
        relocate.move(old.store, third, named="elsewhere")


def test_a_store_that_is_worked_on_stays(old, tmp_path):
    old.worker(host="busy")
    with at(f"sqlite:///{tmp_path}/new.db") as target, pytest.raises(Refused, match="`busy`"):
        relocate.move(old.store, target, named="x")
    assert not list(tmp_path.glob("new.db"))
    old.push("goes on")


def test_a_store_does_not_move_onto_another(old, tmp_path):
    target_url = f"sqlite:///{tmp_path}/new.db"
    other = open_store(target_url)
    Rig(other).apply(pipeline_of("other"))
    other.close()
    with at(target_url) as target, pytest.raises(Refused, match="holds a store already"):
        relocate.move(old.store, target, named="x")
    with at(old.store.url) as itself, pytest.raises(UserError, match="already"):
        relocate.move(old.store, itself, named="x")


def pipeline_of(name):
    from stoker.model.pipeline import Pipeline, Run, Step

    return Pipeline(name=name, folder="/p", steps=(Step(name="s", action=Run(text="true")),))


def test_a_store_moves_into_one_that_was_just_made(old, tmp_path):
    target_url = f"sqlite:///{tmp_path}/new.db"
    open_store(target_url).close()
    with at(target_url) as target:
        relocate.move(old.store, target, named=target_url)
    moved = open_store(target_url)
    assert content(moved) == content(old.store)
    moved.close()


class Cut(Exception):
    """The power fails here."""


@on_each
def test_a_move_that_is_cut_short_is_made_again(old, url, target_url, monkeypatch):
    def cut(name):
        if name == "page_copied":
            raise Cut
        hit(name)

    with monkeypatch.context() as patched:
        patched.setattr(copying, "hit", cut)
        with at(target_url) as target, pytest.raises(Cut):
            relocate.move(old.store, target, named=target_url)
    with pytest.raises(Refused, match="not finished"):
        open_store(target_url)
    old.push("still the one")
    with at(target_url) as target:
        relocate.move(old.store, target, named=target_url)
    moved = open_store(target_url)
    assert content(moved) == content(old.store)
    moved.close()


@on_each
def test_a_move_that_is_cut_short_at_its_end_is_made_again(old, target_url, monkeypatch):
    def cut(name):
        if name == "source_shut":
            raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(relocate, "hit", cut)
        with at(target_url) as target, pytest.raises(Cut):
            relocate.move(old.store, target, named=target_url)
    with pytest.raises(Refused, match="not finished"):
        open_store(target_url)
    with at(target_url) as target:
        relocate.move(old.store, target, named=target_url)
    open_store(target_url).close()


def test_a_copy_that_differs_is_found(old, tmp_path, monkeypatch):
    good = copying.copy_rows

    def bad(unit, target, **more):
        done = good(unit, target, **more)
        with target.writing() as broken:
            broken.execute(update(tables.item).where(tables.item.c.key == "a").values(priority=7))
        return done

    monkeypatch.setattr(copying, "copy_rows", bad)
    to = f"sqlite:///{tmp_path}/new.db"
    with at(to) as target, pytest.raises(Bug, match="`item`"):
        relocate.move(old.store, target, named=to)
    with pytest.raises(Refused, match="not finished"):
        open_store(to)
    old.push("still the one")


@on_each
def test_a_backup_is_whole_and_nobody_works_on_it(old, url, tmp_path):
    old.worker(host="busy")
    path = tmp_path / "backup.db"
    done = relocate.back_up(old.store, path)
    old.push("later")
    assert done.tables["item"] >= 40
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Refused, match="stoker store restore"):
        open_store(f"sqlite:///{path}")
    with pytest.raises(Conflict, match="already"):
        relocate.back_up(old.store, path)
    with pytest.raises(NotFound, match="folder"):
        relocate.back_up(old.store, tmp_path / "nowhere" / "x.db")
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["backup.db"]


def test_a_backup_that_is_cut_short_leaves_nothing(old, tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "count_rows", lambda _unit: (_ for _ in ()).throw(Cut))
    with pytest.raises(Cut):
        relocate.back_up(old.store, tmp_path / "backup.db")
    assert not [one for one in tmp_path.iterdir() if one.is_file()]


@on_each
def test_a_restored_store_goes_on_in_a_new_epoch(old, target_url, tmp_path):
    worker = old.worker(host="busy")
    old.push("runs")
    (task,) = old.claim(worker)
    path = tmp_path / "backup.db"
    relocate.back_up(old.store, path)
    seen = content(old.store)
    with at(target_url) as target:
        relocate.restore(path, target)
    restored = open_store(target_url)
    there = Rig(restored)
    assert restored.epoch == 2
    assert there.states()["runs", "one"] == "ready"
    there.check()
    there.work(there.worker())
    there.check()
    assert len(there.states()) == len(old.states())
    assert not there.end(task), "what ran when the backup was made is fenced off"
    with restored.reading() as unit:
        journal = tables.journal
        query = select(journal.c.epoch, journal.c.seq).where(journal.c.event == "restore")
        assert tuple(unit.execute(query).one()) == (2, 1)
    restored.close()
    assert content(old.store) == seen


def test_only_a_backup_is_restored_and_only_where_nothing_is(old, url, tmp_path):
    with at(f"sqlite:///{tmp_path}/n.db") as target, pytest.raises(NotFound):
        relocate.restore(tmp_path / "none.db", target)
    path = tmp_path / "backup.db"
    relocate.back_up(old.store, path)
    with at(url) as target, pytest.raises(Refused, match="holds a store already"):
        relocate.restore(path, target)
    if database == "sqlite":
        file = tmp_path / "store" / "stoker.db"
        with (
            at(f"sqlite:///{tmp_path}/n.db") as target,
            pytest.raises(UserError, match="not a backup"),
        ):
            relocate.restore(file, target)


def test_a_dry_run_changes_nothing(old, url, tmp_path):
    to = tmp_path / "new.db"
    before = content(old.store)
    with at(f"sqlite:///{to}") as target:
        done = relocate.move(old.store, target, named="x", dry_run=True)
    assert done.tables == {name: len(rows) for name, rows in before.items()}
    assert relocate.back_up(old.store, to, dry_run=True).tables == done.tables
    assert content(old.store) == before
    open_store(url).close()


def test_parts_hold_all_items_once(old):
    with old.store.reading() as unit:
        parts = list(rebuild.parts(unit, items=7))
        whole = rebuild.snapshot(unit)
        items, tasks = [], []
        for part in parts:
            journal, store = rebuild.replay(unit, part), rebuild.snapshot(unit, part)
            assert list(rebuild.differences(journal, store)) == []
            items += store.items
            tasks += store.tasks
    assert len(parts) > 4
    assert sorted(items) == sorted(whole.items)
    assert sorted(tasks) == sorted(whole.tasks)


def test_every_version_of_a_store_but_this_one_is_refused(old, url, tmp_path):
    for version, words in (("0000", "stoker store upgrade"), ("later", "later release")):
        schema.note_version(old.store, version)
        with pytest.raises(Refused, match=words):
            open_store(url)
        with at(f"sqlite:///{tmp_path}/n.db") as target, pytest.raises(StokerError, match=words):
            relocate.move(old.store, target, named="x")
    schema.note_version(old.store, schema.HEAD)
    assert [one for one in invariants.check(old.store) if one.violations] == []
