"""What a person set with `push --set`, and sources that find the same item afterwards."""

import os

import pytest

from stoker.model.selection import Selection
from stoker.project import open_project

PARAMS = """
[pipelines.p.params]
gain = { type = "number", default = 1.0 }
note = { type = "string", default = "" }
[pipelines.p.steps.s]
run = "true"
"""
FOLDER = '[pipelines.p]\n[pipelines.p.sources.s]\nfolder = "data"\nsettle = "0s"\n'
PLACES = {
    "folder": FOLDER,
    "parts": f'{FOLDER}fields = "{{run}}_{{part}}.dat"\nparts = ["a"]\n',
    "folders": FOLDER.replace("[pipelines.p]\n", '[pipelines.p]\nitems = "folders"\n', 1),
    "list": FOLDER.replace('folder = "data"', 'list = "names"'),
    "table": FOLDER.replace('folder = "data"', 'table = "t.csv"'),
    "command": FOLDER.replace('folder = "data"', 'command = "cat names"').replace(
        'settle = "0s"\n', ""
    ),
}


@pytest.fixture(params=PLACES)
def lab(request, tmp_path):
    """A project whose source finds one item; what a person calls it."""
    kind = request.param
    (tmp_path / "stoker.toml").write_text(PLACES[kind] + PARAMS)
    datum = tmp_path / "data/x/y" if kind == "folders" else tmp_path / "data/x_a.dat"
    datum.parent.mkdir(parents=True)
    datum.write_text("one")
    named = "data/x" if kind == "folders" else "data/x_a.dat"
    (tmp_path / "names").write_text(f"{named}\n")
    (tmp_path / "t.csv").write_text(f"path,gain\n{named},\n")
    with open_project(tmp_path) as project:
        project.apply()
        yield project, str(tmp_path / named)


def item(project):
    (row,) = project.each_item(Selection())
    return row


def test_what_a_person_set_stands(lab):
    project, path = lab
    assert project.take_sources()[0].registered == 1
    for gain in (42.0, 42.0, 43.0, 1.0):
        before = item(project)
        done = project.push("p", path, params={"gain": str(gain)})
        assert done.changed == (before.params["gain"] != gain)
        assert not project.take_sources()
        assert project.push("p", path).changed == 0
        assert item(project).params == {"gain": gain, "note": ""}
    generation = item(project).generation
    project.push("p", path, params={"note": "b"})
    assert item(project).params == {"gain": 1.0, "note": "b"}
    assert item(project).generation == generation + 1


def test_new_content_is_a_change_with_what_a_person_set(lab):
    project, path = lab
    project.push("p", path, params={"gain": "42"})
    assert not project.take_sources()
    datum = f"{path}/y" if os.path.isdir(path) else path
    with open(datum, "a") as file:
        file.write("two")
    changed = project.push("p", path).changed + sum(one.changed for one in project.take_sources())
    assert changed == 1
    assert item(project).params["gain"] == 42.0
