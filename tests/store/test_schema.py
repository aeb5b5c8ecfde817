"""The schema: made by migrations, readable by people, and indexed for the claim."""

import functools
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text

from stoker.errors import Refused, Unavailable, UserError
from stoker.model.selection import Selection
from stoker.model.states import AttemptState, ItemState, TaskState, WorkerState
from stoker.store import indexes, journal_fold, locks, tables
from stoker.store.claims import choose
from stoker.store.database import schema
from stoker.store.database.connect import open_store
from stoker.store.ends import successors
from stoker.store.reports import failures, story
from stoker.store.unit import Prepared


def test_the_migrations_make_exactly_the_tables(store):
    with store.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": functools.partial(is_of, store.engine.dialect)}
        )
        assert compare_metadata(context, indexes.complete()) == []


def is_of(dialect, thing, name, _kind, _reflected, _compared):
    """Whether a thing belongs to this database; some indexes have a form for each.

    What MariaDB needs for one that the others have of some rows stands in the migration alone.
    """
    if dialect.name == "mariadb" and name in ("seldom_key", "journal_seldom"):
        return False
    wanted = getattr(thing, "_ddl_if", None)
    return wanted is None or dialect.name in wanted.dialect


def test_the_newest_migration_is_the_head():
    folder = Path(schema.__file__).parents[1] / "migrations"
    assert ScriptDirectory(str(folder)).get_current_head() == schema.HEAD


def test_only_the_dialect_of_the_own_database_is_loaded(url, database):
    open_store(url).close()  # a migration may load what it likes
    code = (
        "import sys; from stoker.store.reports import overview; from stoker.store.database.connect import open_store\n"
        f"store = open_store({url!r}); overview.status(store); store.close()\n"
        "print(*sorted(m for m in sys.modules if m.startswith('sqlalchemy.dialects.') or m == 'sqlite3'))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    names = {"sqlite": "sqlite", "postgresql": "postgresql", "mariadb": "mysql"}
    loaded = {name.split(".")[2] for name in found.stdout.split() if "." in name}
    assert loaded & set(names.values()) == {names[database]}
    assert ("sqlite3" in found.stdout.split()) == (database == "sqlite")


def test_a_store_of_a_later_release_is_refused(store, url):
    with store.writing() as unit:
        unit.cursor.execute("UPDATE alembic_version SET version_num = 'later'")
    with pytest.raises(Refused, match="later release"):
        open_store(url)


def test_another_hosts_file_is_refused(store, url, database):
    with store.writing() as unit:
        unit.execute(tables.site.update().values(machine="elsewhere"))
    if database != "sqlite":
        open_store(url).close()  # a server is there for all hosts
        return
    with pytest.raises(Refused, match="another host"):
        open_store(url)


def test_a_file_that_is_no_store_is_told(tmp_path):
    path = tmp_path / "x.db"
    path.write_bytes(b"not a database at all, but long enough to look like one" * 20)
    with pytest.raises(Unavailable, match="doctor"):
        open_store(f"sqlite:///{path}")


def test_an_unknown_database_is_told():
    with pytest.raises(UserError, match="oracle"):
        open_store("oracle://x/y")


def test_a_store_in_memory_is_refused():
    with pytest.raises(Refused, match="memory"):
        open_store("sqlite://")


def test_people_read_the_views(rig, pipeline):
    rig.apply(pipeline(one=(), two=("one",)))
    rig.push("a", "ü")
    worker = rig.worker()
    (task,) = rig.claim(worker)
    rig.end(task, AttemptState.FAILED, reason="no licence", node="n17")
    journal_fold.fold(rig.store)
    with rig.store.reading() as unit:
        # `key` is a word of MariaDB's own; whoever names it there has to quote it
        tasks = rows(unit, "SELECT * FROM tasks ORDER BY id")
        assert [(row["key"], row["step"], row["state"], row["reason"]) for row in tasks] == [
            ("a", "one", "failed", "no licence"),
            ("ü", "one", "ready", None),
            ("a", "two", "blocked", None),
            ("ü", "two", "blocked", None),
        ]
        assert rows(unit, "SELECT state, exit_code, node FROM attempts") == [
            {"state": "failed", "exit_code": 1, "node": "n17"}
        ]
        items = rows(unit, "SELECT * FROM items ORDER BY id")
        assert [(row["key"], row["path"], row["state"]) for row in items] == [
            ("a", "/data/a", "failed"),
            ("ü", "/data/ü", "waiting"),
        ]
        (worker,) = rows(unit, "SELECT state, started_at FROM workers")
        assert worker["state"] == "alive"
        now = datetime.fromtimestamp(unit.now_us / 1e6, UTC)
        assert str(worker["started_at"]).startswith(str(now.year))
        events = [row["event"] for row in rows(unit, "SELECT event FROM events ORDER BY seq")]
        assert events == [
            "set_version", "create_tasks", "create_tasks", "register", "register", "claim", "fail",
        ]  # fmt: skip


def rows(unit, text):
    found = unit.connection.exec_driver_sql(text)
    return [dict(row._mapping) for row in found]


@pytest.mark.parametrize(
    ("table", "states"),
    [("task", TaskState), ("attempt", AttemptState), ("item", ItemState), ("worker", WorkerState)],
)
def test_the_views_know_every_state(store, table, states):
    text = inspect(store.engine).get_view_definition(f"{table}s").lower()
    for state in states:
        assert f"when {state.value} then '{state.word}'" in text


def plan(store, prepared, **values):
    """The steps by which the database would go, each as a line."""
    with store.writing(dry_run=True) as unit:
        text, arguments = prepared.arguments(store, values)
        if store.dialect.name == "postgresql":
            unit.cursor.execute("SET LOCAL enable_seqscan = off")  # a small table is read whole
            unit.cursor.execute(f"EXPLAIN (COSTS OFF) {text}", arguments)
            return [row[0] for row in unit.cursor.fetchall()]
        how = "EXPLAIN QUERY PLAN" if store.dialect.name == "sqlite" else "EXPLAIN"
        unit.cursor.execute(f"{how} {text}", arguments)
        return [" ".join(map(str, row)) for row in unit.cursor.fetchall()]


SORTS = ("TEMP B-TREE", "Sort", "filesort")


def test_a_claim_finds_its_tasks_by_the_index(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push(*(f"k{number}" for number in range(50)))
    heads = plan(rig.store, choose._HEADS, host="h")
    take = plan(rig.store, choose._TAKE, lane=1, limit=5, okey=1, before=1)
    for steps in (heads, take):
        of_task = [step for step in steps if re.search(r"\btask\b", step)]
        assert of_task
        assert all("task_lane" in step for step in of_task), steps
        assert not [step for step in steps for word in SORTS if word in step], steps


def test_what_is_locked_is_found_by_its_own_index(rig, pipeline, database):
    """Nothing else is read: MariaDB would lock that too."""
    rig.apply(pipeline(one=(), two=("one",)))
    rig.push(*(f"k{number}" for number in range(2_000)))
    if database == "postgresql":
        with rig.store.connected() as connection:
            connection.exec_driver_sql("ANALYZE task")
    by_id = "PRIMARY|task_pkey"
    of_item = "task_item_id_step_id_key|sqlite_autoindex_task_1"
    for statement, values, index in (
        (locks._TASKS, {"ids": [1, 2]}, by_id),
        (locks._TASKS_OF, {"ids": [1, 2]}, of_item),
        (successors._WAITING, {"step": 2, "items": [1, 2]}, of_item),
    ):
        steps = plan(rig.store, statement, **values)
        assert [step for step in steps if re.search(index, step)], steps
        assert not [step for step in steps if "SCAN task" in step or "Seq Scan" in step], steps


def test_the_fold_finds_its_rows_by_the_index(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push(*(f"k{number}" for number in range(50)))
    steps = plan(rig.store, journal_fold._UNSEQUENCED, rows=10)
    assert [step for step in steps if re.search("journal_unsequenced|journal_seq_id", step)], steps
    assert not [step for step in steps for word in SORTS if word in step], steps


def test_a_story_is_found_by_the_index(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push(*(f"k{number}" for number in range(50)))
    happenings = Prepared(story._HAPPENINGS)
    steps = plan(rig.store, happenings, pipeline="line", key="k7", since=0)
    assert [step for step in steps if "journal_seldom" in step], steps


def test_failures_are_found_by_the_index(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push(*(f"k{number}" for number in range(50)))
    query = failures._ranked(Selection(states=("failed",)))
    spelt_out = query.compile(rig.store.engine, compile_kwargs={"literal_binds": True})
    steps = plan(rig.store, Prepared(text(str(spelt_out))))
    of_task = [step for step in steps if "task_state" in step]
    assert of_task, steps
    assert not [step for step in of_task if "SCAN" in step], steps


def test_a_store_can_be_opened_again(rig, pipeline, url):
    rig.apply(pipeline(one=()))
    rig.push("a")
    uid = select(tables.site.c.uid)
    again = open_store(url)
    try:
        with again.reading() as unit, rig.store.reading() as first:
            assert unit.execute(uid).scalar() == first.execute(uid).scalar()
    finally:
        again.close()
