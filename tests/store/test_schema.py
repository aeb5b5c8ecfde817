"""The schema: made by migrations, readable by people, and indexed for the claim."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select

from stoker.errors import Refused, Unavailable, UserError
from stoker.model.states import AttemptState, ItemState, TaskState, WorkerState
from stoker.store import claim, fold, schema, tables
from stoker.store.connect import open_store


def test_the_migrations_make_exactly_the_tables(store):
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, tables.metadata) == []


def test_the_newest_migration_is_the_head():
    folder = Path(schema.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_current_head() == schema.HEAD


def test_a_store_of_a_later_release_is_refused(store, url):
    with store.writing() as unit:
        unit.cursor.execute("UPDATE alembic_version SET version_num = 'later'")
    with pytest.raises(Refused, match="later release"):
        open_store(url)


def test_another_hosts_file_is_refused(store, url):
    with store.writing() as unit:
        unit.execute(tables.site.update().values(machine="elsewhere"))
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


def test_people_read_the_views(rig, pipeline, url):
    rig.apply(pipeline(one=(), two=("one",)))
    rig.push("a")
    worker = rig.worker()
    (task,) = rig.claim(worker)
    rig.end(task, AttemptState.FAILED, reason="no licence")
    fold.fold(rig.store)
    shell = sqlite3.connect(url.removeprefix("sqlite:///"))
    try:
        rows = shell.execute("SELECT key, step, state, reason FROM tasks ORDER BY step").fetchall()
        assert rows == [("a", "one", "failed", "no licence"), ("a", "two", "blocked", None)]
        assert shell.execute("SELECT state, exit_code FROM attempts").fetchall() == [("failed", 1)]
        assert shell.execute("SELECT key, path, state FROM items").fetchone() == (
            "a",
            "/data/a",
            "failed",
        )
        assert shell.execute("SELECT state FROM workers").fetchone() == ("alive",)
        events = [row[0] for row in shell.execute("SELECT event FROM events ORDER BY seq")]
        assert events == [
            "set_version",
            "create_tasks",
            "create_tasks",
            "register",
            "claim",
            "fail",
        ]
    finally:
        shell.close()


@pytest.mark.parametrize(
    ("table", "states"),
    [("task", TaskState), ("attempt", AttemptState), ("item", ItemState), ("worker", WorkerState)],
)
def test_the_views_know_every_state(store, table, states):
    with store.reading() as unit:
        unit.cursor.execute("SELECT sql FROM sqlite_master WHERE name = ?", [f"{table}s"])
        text = unit.cursor.fetchone()[0]
    for state in states:
        assert f"WHEN {state.value} THEN '{state.word}'" in text


def plan(store, prepared, **values):
    with store.reading() as unit:
        text, arguments = prepared.arguments(store, values)
        unit.cursor.execute(f"EXPLAIN QUERY PLAN {text}", arguments)
        return [row[3] for row in unit.cursor.fetchall()]


def test_a_claim_finds_its_tasks_by_the_index(rig, pipeline):
    rig.apply(pipeline(one=()))
    heads = plan(rig.store, claim._HEADS, cpus=1, memory_bytes=1)
    take = plan(rig.store, claim._TAKE, lane=1, limit=5)
    for steps in (heads, take):
        of_task = [step for step in steps if "task" in step]
        assert of_task
        assert all("task_lane" in step for step in of_task), steps
        assert not [step for step in steps if "TEMP B-TREE" in step], steps


def test_the_fold_finds_its_rows_by_the_index(store):
    steps = plan(store, fold._UNSEQUENCED, rows=10)
    assert [step for step in steps if "journal_unsequenced" in step], steps


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
