"""`error_folder` in the file: its two forms, and what `check` says against one."""

import pytest

from stoker.errors import SpecError, UserError
from stoker.model.pipeline import ErrorFolder
from stoker.spec.canon import dump_pipeline, load_pipeline, pipeline_body_hash
from stoker.spec.error_folders import compile_error_folder, fixed_part
from stoker.spec.load import load_project
from unit.spec.shell_cases import context_of

STEP = '[pipelines.p.steps.s]\nrun = "true"\n'


def load(tmp_path, error_folder, more="", steps=STEP):
    text = f"[pipelines.p]\n{error_folder}\n{more}\n{steps}"
    (tmp_path / "stoker.toml").write_text(text)
    return load_project(tmp_path / "stoker.toml").pipelines["p"]


def problem(tmp_path, *arguments, **more):
    with pytest.raises(SpecError) as caught:
        load(tmp_path, *arguments, **more)
    (found,) = caught.value.problems
    return str(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"e/{key}/"', ErrorFolder(to="e/{key}/")),
        ('{ to = "e/{key}" }', ErrorFolder(to="e/{key}")),
        ('{ to = "{item}.err/", from = "*.log" }', ErrorFolder(to="{item}.err/", picks=("*.log",))),
        (
            '{ to = "{key}", from = ["*.log", "q/**"], max_size = "1K" }',
            ErrorFolder(to="{key}", picks=("*.log", "q/**"), max_size_bytes=1024),
        ),
    ],
)
def test_short_and_long_form(tmp_path, text, expected):
    pipeline = load(tmp_path, f"error_folder = {text}")
    assert pipeline.error_folder == expected
    assert load_pipeline(dump_pipeline(pipeline)) == pipeline
    without = load(tmp_path, "")
    assert pipeline_body_hash(without) == pipeline_body_hash(pipeline), "nothing is outdated by it"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "the error folder has no path"),
        ('""', "the error folder has no path"),
        ("7", "must be a table"),
        ('"errors/"', "two items could have the same error folder; put `{key}` into its path"),
        ('"errors/{name}/"', "two items could have the same error folder"),
        ('"errors/{kye}/"', "did you mean `key`?"),
        ('"errors/{key}/{in.s.x}"', "`{in.s.x}` has no value in the path of an error folder"),
        ('"errors/{key}/{scratch}"', "`{scratch}` has no value in the path of an error folder"),
        ('{ to = "e/{key}", from = "/etc/*" }', "must stay in the working directory"),
        ('{ to = "e/{key}", from = ["a", "../*"] }', "must stay in the working directory"),
        ('{ to = "e/{key}", max_size = "many" }', "not a size"),
        ('{ to = "e/{key}", keep = "x" }', "has no key `keep`"),
    ],
)
def test_what_cannot_be(tmp_path, text, words):
    assert words in problem(tmp_path, f"error_folder = {text}")


def test_all_that_makes_the_key_tells_items_apart_too(tmp_path):
    params = "[pipelines.p.params]\na = {}\nb = {}\n"
    items = 'items = "records"\nkey = "{params.a}-{params.b}"\n'
    load(tmp_path, items + 'error_folder = "e/{params.a}/{params.b}"', params)
    assert "two items" in problem(tmp_path, items + 'error_folder = "e/{params.a}"', params)


@pytest.mark.parametrize(
    "output", ['"e/{key}/x"', '"e/{key}"', '"e/"', '{ to = "e/{key}", from = "*" }']
)
def test_it_is_apart_from_outputs(tmp_path, output):
    steps = f"{STEP}outputs.o = {output}\n"
    found = problem(tmp_path, 'error_folder = "e/{key}/"', steps=steps)
    assert "error folder" in found
    assert "separate paths" in found


def test_its_path_is_that_of_the_item(tmp_path):
    plan = compile_error_folder(load(tmp_path, 'error_folder = "e/{key}/x/"'))
    assert plan.path(context_of(key="a/b")) == f"{tmp_path}/e/a/b/x"
    with pytest.raises(UserError, match="would leave its folder"):
        plan.path(context_of(key="../../b"))
    assert compile_error_folder(load(tmp_path, "")) is None


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("e/{key}/", "e"),
        ("a/b/x{key}", "a/b"),
        ("{key}/", "."),
        ("/x/{key}", "/x"),
        ("/{key}", "/"),
        ("{item}.err", "."),
    ],
)
def test_the_folder_around_all_of_them(tmp_path, to, expected):
    pipeline = load(tmp_path, f'error_folder = "{to}"')
    assert fixed_part(pipeline, pipeline.error_folder) == str((tmp_path / expected).resolve())
