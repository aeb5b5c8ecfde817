"""The pages on PostgreSQL and MariaDB: they show the same, and no statement reads all of a table."""

import re
from contextlib import contextmanager

import pytest
from sqlalchemy import insert, select, text

import servers
from integration.web.inside import inside
from integration.web.test_panel import NASTY, PAGES, TOML, address, look, words_of
from stoker.model.states import AttemptState
from stoker.store import tables
from stoker.store.ids import new_attempt_id
from stoker.store.reports import searching, timeline
from store.test_paging import listening, plan, reads_all

MANY = 4_000  # with fewer rows, a database rightly reads a table whole
BULK = """
[pipelines.bulk]
items = "records"
steps.only = { run = "true", needs = ["nowhere"] }
"""
SEARCHES = tuple(address("search", q=one) for one in ("record0", "ecord", "record*9"))
LONG_AGO = "/timeline?from=2001-01-01T00:00:00Z&to=2001-02-01T00:00:00Z"
FILTERED = (
    address("items", state="quarantined"),
    address("items", key="record00*"),
    address("items", pipeline="sort", by="nobody"),
    address("tasks", state="held"),
    address("tasks", pipeline="bulk", state="ready"),
    address("tasks", match="licence", state="failed"),
    address("tasks", match="no attempt says so"),
    address("items", match="no attempt says so"),
    address("items", key="*9"),
    address("item", key="record9"),
)
ALL = (*PAGES, *SEARCHES, *FILTERED, LONG_AGO, "/timeline?last=1y", "/timeline?last=30d&by=steps")


@contextmanager
def a_large_lab(folder, kind):
    """A project on a server, with some items that were worked on and many that wait."""
    url = servers.server(kind).new_store(servers.make_store)
    toml = TOML.replace("[web]", f'[store]\nurl = "{url}"\n[web]') + BULK
    with inside(folder, toml=toml) as found:
        found.project.push("sort", ["ok1", "licence1", NASTY])
        found.project.run("sort")
        found.project.push("idle", ["held", "waits"])
        found.project.hold("held", reason="until <b>Ada</b> is back")
        listed = folder / "many.txt"
        listed.write_text("".join(f"record{n:05}\n" for n in range(MANY)))
        found.project.push("bulk", from_file=str(listed))
        _attempts(found.project.store)
        yield found


def _attempts(store):
    """The tasks that wait have each been tried, long ago as it seems."""
    task, attempt = tables.task, tables.attempt
    with store.writing() as unit:
        like = unit.execute(select(attempt).limit(1)).one()._asdict()
        waiting = unit.execute(select(task.c.id).order_by(task.c.id.desc()).limit(MANY)).scalars()
        rows = [
            {
                **like,
                "id": new_attempt_id(),
                "task_id": one,
                "number": 7,
                "state": AttemptState.FAILED.value,
            }
            for one in waiting
        ]
        unit.execute(insert(attempt), rows)
    with store.engine.connect() as connection:
        for name in ("item", "task", "attempt", "journal"):
            how = "ANALYZE" if store.dialect.name == "postgresql" else "ANALYZE TABLE"
            connection.execute(text(f"{how} {name}"))
            connection.commit()


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ],
)
def test_no_page_on_a_server_skips_or_reads_all_of_a_table(tmp_path, kind, monkeypatch):
    with a_large_lab(tmp_path, kind) as lab:
        monkeypatch.setattr(
            searching, "AMONG", 100
        )  # fewer than there are, as where there are millions
        wrong = []
        for light in (timeline.LIGHT, 5):
            monkeypatch.setattr(timeline, "LIGHT", light)
            for path in ALL if light > 5 else [one for one in ALL if "timeline" in one]:
                wrong += [(path, *one) for one in statements_that_read_all(lab, path)]
        assert not wrong, wrong[:3]
        seen = words_of(look(lab, "/overview"))
        assert f"of {MANY + 5:,} items done" in seen
        assert "Licences used up" in seen


def statements_that_read_all(lab, path):
    """The statements of a page of which the database would read all rows of a large table."""
    seen, store = [], lab.site.project.store
    lab.app.state.panel.expire()
    with listening(store.engine, seen):
        answer = lab.client().get(path, headers={"accept": "text/html"})
    assert answer.status_code in (200, 303, 404), (path, answer.text)
    for said, values in seen:
        if not re.match(r"\s*(SELECT|WITH)\b", said, re.IGNORECASE) or "FOR UPDATE" in said:
            continue
        if "OFFSET" in said and values[-1] != 0:
            yield said, "skips"
        steps = plan(store, said, values)
        yield from ((said[:300], one) for one in steps if reads_all(one))
