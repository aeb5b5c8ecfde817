"""The how-to pages about the store do what they say, against real servers."""

from pathlib import Path

import pytest

import servers
from docs import transcript
from docs.test_tutorial import environment
from docs.transcript import Command

PAGES = Path(__file__).parents[2] / "docs" / "howto"
PASSWORD = "pa55:w/rd@x"
FILE = """
[pipelines.lines.sources.data]
folder = "data"
settle = "0s"
[pipelines.lines.steps.count]
run = "wc -l <{item} >{out.n}; echo counted"
outputs.n = "results/{key}"
"""


@pytest.fixture
def lab(tmp_path):
    """A project with three files in a folder."""
    (tmp_path / "data").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "data" / f"{name}.txt").write_text("1\n2\n")
    (tmp_path / "stoker.toml").write_text(FILE)
    return tmp_path


def follow(page, folder, server=None, *, before=(), after=(), env=None):
    """Do what the page says, with this server in place of its example; return what came otherwise.

    `before` comes before its first command.
    """
    actions = transcript.read((PAGES / page).read_text())
    first = next((n for n, one in enumerate(actions) if isinstance(one, Command)), 0)
    actions[first:first] = map(Command, before)
    actions += map(Command, after)
    assert any(isinstance(action, Command) for action in actions)
    if server is not None:
        where = server.with_password(PASSWORD).partition("PASSWORD@")[2]
        for action in actions:
            action.text = _there(action.text, where)
            if isinstance(action, Command):
                action.shown = [_there(line, where) for line in action.shown]
    variables = environment(folder) | {"LAB_PASSWORD": PASSWORD} | (env or {})
    problems = transcript.perform(actions, folder, variables)
    for path in folder.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), f"the password is in {path}"
    return problems


def _there(text, where):
    return text.replace("//stoker:", "//lab:").replace("db.example/lab", where)


@pytest.mark.postgresql
def test_the_store_on_postgresql_and_a_second_machine(lab):
    server = servers.server("postgresql")
    assert follow("postgresql.md", lab, server) == []
    assert follow("second-machine.md", lab, after=["stoker status"]) == []


@pytest.mark.mariadb
def test_the_store_on_mariadb(lab):
    assert follow("mariadb.md", lab, servers.server("mariadb")) == []


@pytest.mark.postgresql
def test_moving_from_sqlite(lab):
    server = servers.server("postgresql")
    assert follow("move-the-store.md", lab, server, before=["stoker run"]) == []


def test_keeping_the_store_small(lab):
    assert follow("prune.md", lab, before=["stoker run"]) == []
