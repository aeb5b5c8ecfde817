"""Stores that earlier releases wrote open with this one: everything is there, and reads as before."""

import hashlib
import json
import lzma
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import func, select

import servers
from stoker.model.selection import Selection
from stoker.store import tables
from stoker.store.database import invariants, rebuild, schema
from stoker.store.database.connect import bare, machine, open_store
from stoker.store.database.upgrade import upgrade
from stoker.store.reports import lists, overview, story
from store.rig import Rig

HERE = Path(__file__).parent
RELEASES = sorted(path.name for path in HERE.iterdir() if (path / "sqlite.xz").exists())
# A released migration is never changed: stores have been made by it.
RELEASED = {"0001_first.py": "e282de88b73db1cbfe3de331fa17cdc2cf1a998c2cd649f198101641d7ccfe43"}


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def database(request):
    return request.param


@pytest.fixture(params=RELEASES)
def release(request):
    return request.param


@pytest.fixture
def written(release, database):
    """What the release says that its store holds."""
    return json.loads((HERE / release / f"{database}.json").read_text("ascii"))


@pytest.fixture
def url(release, database, tmp_path):
    """The URL of a store as the release left it."""
    content = lzma.decompress((HERE / release / f"{database}.xz").read_bytes())
    if database != "sqlite":
        return servers.server(database).load("earlier", content)
    path = tmp_path / "stoker.db"
    path.write_bytes(content)
    with closing(sqlite3.connect(path)) as file, file:  # it was made on another host
        file.execute("UPDATE site SET machine = ?", [machine()])
    return f"sqlite:///{path}"


@pytest.fixture
def store(url):
    with bare(url) as earlier:
        upgrade(earlier)
    opened = open_store(url)
    yield opened
    opened.close()


def test_a_store_of_an_earlier_release_is_brought_up_and_nothing_is_lost(store, written):
    assert schema.version_in(store) == schema.HEAD
    with store.reading() as unit:
        picture = rebuild.snapshot(unit)
        for name, n in written["rows"].items():
            count = select(func.count()).select_from(tables.metadata.tables[name])
            assert (name, unit.execute(count).scalar_one()) == (name, n)
        journal = tables.journal
        events = select(journal.c.event, func.count()).group_by(journal.c.event)
        assert {event: n for event, n in unit.execute(events)} == written["events"]  # noqa: C416
    named = {
        "items": {" ".join(key): one for key, one in picture.items.items()},
        "tasks": {" ".join(key): one for key, one in picture.tasks.items()},
        "attempts": picture.attempts,
    }
    for what, found in named.items():
        assert found.keys() == written[what].keys()
        for name, known in written[what].items():  # a later release may know more of each
            same = {field: value for field, value in found[name].items() if field in known}
            assert json.loads(json.dumps(same)) == known


def test_all_promises_hold_of_it_and_the_journal_alone_tells_the_same(store):
    checks = [*invariants.check(store), invariants.check_journal(store)]
    assert [line for one in checks for line in one.violations] == []


def test_reading_and_working_go_on(store):
    rig = Rig(store)
    assert list(overview.status(store).pipelines) == ["line"]
    keys = [row.item for row in lists.items(store, Selection())]
    assert story.story(store, "ü %0a").item.item in keys
    rig.link.reap()
    worker = rig.worker(name="after")
    done = rig.work(worker)
    assert done
    rig.check()


def test_there_is_one_head():
    assert len(ScriptDirectory(str(schema.MIGRATIONS)).get_heads()) == 1


def test_a_released_migration_is_never_changed():
    versions = schema.MIGRATIONS / "versions"
    digests = {
        name: hashlib.sha256((versions / name).read_bytes()).hexdigest() for name in RELEASED
    }
    assert digests == RELEASED


def test_every_table_of_a_release_has_rows_in_its_stores(written):
    assert min(written["rows"].values()) > 0
