import os
from pathlib import Path

import pytest

from stoker.errors import UserError
from stoker.model.pipeline import Param, ParamType, Pipeline, Source
from stoker.spec.keys import absolute_path, key_for_path, key_from_template


def pipeline(*folders, key=None):
    sources = tuple(Source(name=f"s{n}", folder=str(f)) for n, f in enumerate(folders))
    params = (Param(name="x"), Param(name="l", type=ParamType.LIST))
    return Pipeline(name="p", folder="/project", steps=(), sources=sources, key=key, params=params)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/data/in/a/b.txt", "a/b.txt"),
        ("/data/in/./a//b.txt", "a/b.txt"),
        ("/data/in/sub/c.txt", "c.txt"),
        ("/project/x/y.txt", "x/y.txt"),
        ("/elsewhere/z.txt", "elsewhere/z.txt"),
        ("/data/input/z.txt", "data/input/z.txt"),
        ("/data/in/a\nb%", "a%0Ab%25"),
        ("/data/in/100%", "100%"),
        ("/data/in/\udcff", "%FF"),
        ("/data/in/-rf $(x)", "-rf $(x)"),
        ("/data/in/folder/", "folder"),
        ("/data/in", "data/in"),
    ],
)
def test_rule_k(path, key):
    made = key_for_path(
        path, pipeline=pipeline("/data/in", "/data/in/sub"), project_folder="/project"
    )
    assert made == key


def test_relative_path_counts_from_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert key_for_path("a/b", pipeline=pipeline(), project_folder=str(tmp_path)) == "a/b"


def test_link_at_the_end_keeps_its_name(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "target").write_text("")
    (tmp_path / "in/link").symlink_to(tmp_path / "target")
    made = key_for_path(
        str(tmp_path / "in/link"), pipeline=pipeline(tmp_path / "in"), project_folder=str(tmp_path)
    )
    assert made == "link"


def test_linked_source_folder_is_recognised_by_either_name(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    for source, pushed in (("real", "alias"), ("alias", "real")):
        made = key_for_path(
            f"{tmp_path}/{pushed}/x", pipeline=pipeline(tmp_path / source), project_folder="/other"
        )
        assert made == "x"


def test_links_stay_as_they_are_written(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert absolute_path(f"{tmp_path}/link/./file") == f"{tmp_path}/link/file"


def test_parent_of_a_link_is_where_the_system_goes(tmp_path):
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep/er")
    (tmp_path / "deep/file").write_text("x")
    path = absolute_path(f"{tmp_path}/link/../file")
    assert path == f"{os.path.realpath(tmp_path)}/deep/file"
    assert Path(path).read_text() == "x"


def test_key_that_is_too_long_is_refused():
    with pytest.raises(UserError, match="1000 are allowed"):
        key_for_path("/data/in/" + "x" * 1001, pipeline=pipeline("/data/in"), project_folder="/p")


def test_template():
    made = key_from_template(
        pipeline(key="{meta.day}/{params.x}-{stem}{suffix}"),
        default_key="in/a.tar.gz",
        path="/data/in/a.tar.gz",
        params={"x": "Pen\n1"},
        meta={"day": 5},
    )
    assert made == "5/Pen%0A1-a.tar.gz"
    assert key_from_template(pipeline(), default_key="a/b") == "a/b"
    assert (
        key_from_template(pipeline(key="{key}:{params.l:+}"), default_key="a", params={"l": [1, 2]})
        == "a:1+2"
    )


@pytest.mark.parametrize(
    ("template", "given"),
    [
        ("{params.x}", {"params": {"x": "../up"}}),
        ("{params.x}", {"params": {"x": "/etc"}}),
        ("{params.x}", {"params": {"x": ""}}),
        ("{meta.gone}", {}),
        ("{params.x}", {"params": {"x": ["a", "b"]}}),
    ],
)
def test_template_that_makes_no_key(template, given):
    with pytest.raises(UserError):
        key_from_template(pipeline(key=template), default_key="a", **given)
