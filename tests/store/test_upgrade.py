"""An upgrade that is killed at any of its changes leaves a store that can be upgraded again."""

import shutil
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import inspect

from stoker.errors import Refused
from stoker.store.database import schema
from stoker.store.database.connect import bare, open_store
from store import killed_upgrade as steps
from store.rig import Rig

KEYS = ("a", "b", "ü")


@pytest.fixture
def migrations(tmp_path, monkeypatch):
    """This process is of a later release, whose schema is three steps ahead."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    steps.write_steps(folder)
    monkeypatch.setattr(schema, "MIGRATIONS", folder)
    monkeypatch.setattr(schema, "HEAD", steps.HEAD)
    return folder


@pytest.fixture
def killer(migrations):
    made = steps.Killer(migrations)
    yield made
    made.close()


@pytest.fixture
def earlier(rig, pipeline):
    """A store of this release, with three items of which one is done."""
    rig.apply(pipeline(one=(), two=("one",)))
    rig.push(*KEYS)
    worker = rig.worker()
    rig.end(rig.claim(worker)[0])
    rig.lapse(worker)
    return rig.store


def content(store) -> tuple:
    """What the store holds, and how far it is upgraded."""
    version = schema.version_in(store)
    with store.connected() as connection:
        columns = [column["name"] for column in inspect(connection).get_columns("item")]
        tables = inspect(connection).get_table_names()
    with store.reading() as unit:

        def rows(text):
            return [tuple(row) for row in unit.connection.exec_driver_sql(text)]

        kept = rows("SELECT id, state FROM item ORDER BY id"), rows("SELECT count(*) FROM journal")
        colours = rows("SELECT DISTINCT colour FROM item") if "colour" in columns else None
        shades = rows("SELECT id, name FROM shade") if "shade" in tables else None
    return version, kept, colours, shades


def test_an_upgrade_killed_at_any_change_is_whole_after_the_next(earlier, killer, url, database):
    kept = content(earlier)[1]
    whole = (steps.HEAD, kept, [(8,)], [(7, "red")])
    seen, until = set(), 0
    while True:
        until += 1
        has_died = killer.upgrade(url, until=until)
        with bare(url) as store:
            found = content(store)
        seen.add(found[0])
        if not has_died:
            break
        if found == (steps.BEFORE, kept, None, None):
            continue
        assert found[1] == kept
        if earlier.dialect.transactional_ddl:  # all of it, or nothing
            assert found == whole
        elif found[0] != steps.HEAD:
            with pytest.raises(Refused, match="stoker store upgrade"):
                open_store(url)
        assert not killer.upgrade(url, until=0)
        with bare(url) as store:
            assert content(store) == whole
        with earlier.writing() as unit:
            for statement in steps.UNDO:
                on = " ON item" if database == "mariadb" and "INDEX" in statement else ""
                unit.cursor.execute(statement + on)
    assert found == whole
    versions = {
        steps.BEFORE,
        *(() if database != "mariadb" else (steps.FIRST, steps.SECOND)),
        steps.HEAD,
    }
    assert seen == versions, f"it was killed at {until - 1} moments"
    open_store(url).close()
    Rig(earlier).check()


@pytest.mark.parametrize("database", ["sqlite"])
def test_every_upgrade_puts_the_store_by_as_it_is_then(earlier, rig, killer, url):
    """One that was cut short has left a copy too, which lacks what was done since."""
    assert killer.upgrade(url, until=1)
    rig.push("since")
    assert not killer.upgrade(url, until=0)
    folder = earlier.folder
    copies = [folder / f"stoker.db.before-{steps.HEAD}{n}" for n in ("", ".2")]
    assert sorted(folder.glob("*before*")) == copies
    assert [items_in(path) for path in copies] == [len(KEYS), len(KEYS) + 1]


def items_in(path) -> int:
    with closing(sqlite3.connect(path)) as copy:
        return copy.execute("SELECT count(*) FROM item").fetchone()[0]
