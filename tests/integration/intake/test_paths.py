"""Parameters of type `path`: absolute from where they are written, and checked before work begins."""

import os

import pytest

from stoker.errors import UserError
from stoker.model.selection import Selection
from stoker.project import open_project

FILE = """
[pipelines.p]
items = "records"
[pipelines.p.params]
mask = { type = "path", default = "masks/usual" }
maps = { type = "list", items = "path", default = [] }
[pipelines.p.sources.s]
table = "tables/t.csv"
[pipelines.p.steps.s]
run = "true"
"""


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "stoker.toml").write_text(FILE)
    for name in ("masks/usual", "tables/own", "tables/map 1", "elsewhere/own"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    with open_project(tmp_path) as project:
        project.apply()
        yield project, str(tmp_path)


def params(project):
    return {row.item: row.params for row in project.each_item(Selection())}


def test_each_path_is_relative_to_the_file_that_it_is_written_in(lab, monkeypatch):
    project, folder = lab
    with open(f"{folder}/tables/t.csv", "w") as table:
        table.write('key,mask,maps\na,own,"map 1,own"\nb,,\nc,none,\n')
    (done,) = project.take_sources()
    assert (done.registered, done.refused) == (2, 1)
    assert (
        f"line 4, column `mask`: is `{folder}/tables/none`, where there is no file"
        in done.messages[0]
    )
    monkeypatch.chdir(f"{folder}/elsewhere")
    assert project.push("p", "d", params={"mask": "own"}).registered == 1
    usual, tables = f"{folder}/masks/usual", f"{folder}/tables"
    assert params(project) == {
        "a": {"mask": f"{tables}/own", "maps": [f"{tables}/map 1", f"{tables}/own"]},
        "b": {"mask": usual, "maps": []},
        "d": {"mask": f"{folder}/elsewhere/own", "maps": []},
    }
    monkeypatch.chdir("/")
    (again,) = project.take_sources()
    assert (again.registered, again.changed, again.refused) == (0, 0, 1)
    with pytest.raises(UserError, match="parameter `mask` is `/own`, where there is no file"):
        project.push("p", "e", params={"mask": "own"})


def test_a_default_that_is_missing_stops_the_items_that_need_it(lab):
    project, folder = lab
    os.unlink(f"{folder}/masks/usual")
    with open(f"{folder}/tables/t.csv", "w") as table:
        table.write("key,mask\na,own\nb,\n")
    (done,) = project.take_sources()
    assert (done.registered, done.refused) == (1, 1)
    assert f"is by default `{folder}/masks/usual`, where there is no file" in done.messages[0]
    with pytest.raises(UserError, match="is by default"):
        project.push("p", "c")


def test_a_default_that_came_after_the_item_is_absolute_too(lab):
    _, folder = lab
    file = f"{folder}/stoker.toml"
    with open(file) as old:
        text = old.read().replace('"true"', "'cat {params.mask} > {out.copy}'")
    text += 'outputs.copy = "copies/{key}"\n'
    with open(file, "w") as new:
        new.write(text.replace('mask = { type = "path", default = "masks/usual" }\n', "").replace(
            "{params.mask}", "/dev/null"
        ))  # fmt: skip
    with open_project(folder) as before:
        before.push("p", "early")
    with open(file, "w") as new:
        new.write(text)
    with open_project(folder) as after:
        assert after.run().failed == 0
    with open(f"{folder}/copies/early") as copy:
        assert copy.read() == "x"
