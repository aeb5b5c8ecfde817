"""The guides on tables, lists, commands and feeds do what they say."""

import shutil

import pytest

import servers
from couch.server import Couch
from docs import transcript
from docs.test_tutorial import ROOT, environment
from docs.transcript import Command


def perform(name, folder, **replaced):
    page = (ROOT / "docs" / "howto" / f"{name}.md").read_text(encoding="utf-8")
    for old, new in replaced.items():
        page = page.replace(old, new)
    actions = transcript.read(page)
    assert sum(isinstance(action, Command) for action in actions) >= 5
    problems = transcript.perform(actions, folder, environment(folder))
    assert not problems, "\n\n".join(problems)


@pytest.mark.parametrize(
    "name", ["tables", "lists", "commands", "scripts", "merge-files", "archive", "history-mysql"]
)
def test_the_guide_does_what_it_says(tmp_path, name):
    perform(name, tmp_path)


def test_the_recipe_for_cloud_storage_does_what_it_says(tmp_path):
    if shutil.which("rclone") is None:
        servers.unavailable("rclone is not installed; `requirements/servers` does it")
    perform("cloud", tmp_path)


@pytest.mark.parametrize("name", ["feeds", "history-couchdb"])
def test_the_guide_to_a_database_does_what_it_says(tmp_path, name):
    server = Couch()
    try:
        server.make("runs")
        perform(name, tmp_path, **{"127.0.0.1:5984": f"127.0.0.1:{server.port}"})
    finally:
        server.close()
