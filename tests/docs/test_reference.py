"""Everything that a user can meet is documented: commands, options, keys, states and errors."""

import json
import re
import sys
import tomllib
from importlib import resources
from pathlib import Path

import click
import pytest

from stoker import errors
from stoker.cli.main import cli
from stoker.model.states import AttemptState, PilotState, TaskState
from stoker.model.transitions import TRANSITIONS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import file_reference  # noqa: E402 - lies beside the pages that it writes
import generated_reference  # noqa: E402

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROSE = [page for page in PAGES if "_build" not in page.parts]


def commands():
    context = click.Context(cli, info_name="stoker")
    return [cli.get_command(context, name) for name in cli.list_commands(context)]


def undescribed_options(command):
    return [
        f"{command.name} {parameter.name}"
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden and not parameter.help
    ]


def test_every_command_says_what_it_does():
    assert len(commands()) > 20
    assert [command.name for command in commands() if not command.help] == []


def test_every_option_says_what_it_does():
    assert [name for command in commands() for name in undescribed_options(command)] == []


def test_an_option_without_help_is_found():
    bare = click.Command("bare", params=[click.Option(["--depth"])])
    assert undescribed_options(bare) == ["bare depth"]


def shipped_schema():
    return json.loads(resources.files("stoker.spec").joinpath("stoker.schema.json").read_text())


def unexplained_keys(schema):
    """Keys without a meaning, an effect, an example or a default, with what they lack."""
    walk, lacking = file_reference._Walk(schema), []
    for line in walk.sections(schema, ""):
        if not line.startswith("| `"):
            continue
        name, _, default, text = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        prose, *examples = text.split("<br>")
        sentences = re.findall(r"\S.*?[.:](?= |$)", prose)
        lacking += [f"{name} lacks a default"] if not default else []
        lacking += [f"{name} lacks a meaning or an effect"] if len(sentences) < 2 else []
        lacking += [f"{name} lacks an example"] if not examples else []
    return lacking


def test_every_key_of_the_file_has_meaning_effect_example_and_default():
    schema = shipped_schema()
    assert len([one for one in properties(schema) if "description" in one]) > 150
    assert unexplained_keys(schema) == []


def test_a_key_that_is_not_explained_is_found():
    good = {"description": "Its use.\n\nIts effect.", "examples": [3], "type": "integer"}
    schema = {
        "properties": {
            "a": good,
            "b": good | {"description": "Its use."},
            "c": {"type": "object", "additionalProperties": {"properties": {"d": {}, "e": good}}},
        }
    }
    found = unexplained_keys(schema)
    assert [row for row in found if row.startswith(("`a`", "`e`"))] == []
    assert "`b` lacks a meaning or an effect" in found
    assert {"`d` lacks a meaning or an effect", "`d` lacks an example"} <= set(found)


def properties(schema):
    """Every key that a schema describes, however deep."""
    if isinstance(schema, list):
        return [one for part in schema for one in properties(part)]
    if not isinstance(schema, dict):
        return []
    own = list(schema.get("properties", {}).values())
    return own + [one for name in schema if name != "examples" for one in properties(schema[name])]


def bad_examples(schema):
    jsonschema = pytest.importorskip("jsonschema")
    bad = []
    for key in properties(schema):
        whole = {"$defs": schema.get("$defs", {}), "allOf": [key]}
        check = jsonschema.Draft202012Validator(whole)
        bad += [example for example in key.get("examples", []) if not check.is_valid(example)]
    return bad


def test_examples_of_keys_are_what_the_keys_may_hold():
    assert bad_examples(shipped_schema()) == []


def test_an_example_that_a_key_may_not_hold_is_found():
    schema = {"properties": {"a": {"type": "integer", "examples": ["three", 3]}}}
    assert bad_examples(schema) == ["three"]


def test_every_state_has_its_sentence():
    table = generated_reference.state_tables()
    for state in (*TaskState, *AttemptState, *PilotState):
        assert re.search(rf"^\| `{state.word}` \| \S.* \|$", table, re.MULTILINE), state


def test_every_transition_is_in_the_table_and_in_the_picture():
    table, picture = (
        generated_reference.transition_table(),
        generated_reference.transition_diagram(),
    )
    for transition in TRANSITIONS:
        assert f"| `{transition.name}` |" in table
        assert f">{transition.name}</text>" in picture


def test_every_error_is_in_the_table():
    table = generated_reference.error_table()
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) > 5
    for kind in kinds:
        if issubclass(kind, errors.StokerError):
            assert re.search(rf"`{kind.__name__}` \| {kind.exit_code} \| \S", table), kind


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_that_are_shown_exist(page):
    known = {command.name for command in commands()}
    shown = re.findall(r"(?:^\$ |\| |`)stoker ([a-z]+)", page.read_text(), re.MULTILINE)
    assert set(shown) <= known


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_settings_that_are_shown_are_toml(page):
    for block in blocks(page, "toml"):
        tomllib.loads(block)


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_have_words_and_lead_to_a_file(page):
    """A link without words is invisible where the pages are read in a clone."""
    found = re.findall(r"(?<!!)\[([^\]]*)\]\(([^)#:]+\.md)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [link for words, link in found if not words or not (page.parent / link).is_file()] == []


@pytest.mark.parametrize("room", ["howto", "reference", "explanation"])
def test_every_page_of_a_room_is_one_click_from_its_index(room):
    folder = ROOT / "docs" / room
    index = (folder / "index.md").read_text("utf-8")
    pages = {path.name for path in folder.glob("*.md")} - {"index.md"}
    assert {name for name in pages if f"]({name})" not in index} == set()


def pictures(page):
    """The alternative text and the file of every picture on a page."""
    found = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    return [(text, page.parent / path) for text, path in found]


def test_every_picture_exists_and_has_an_alternative_text():
    shown = [picture for page in PROSE for picture in pictures(page)]
    assert any(path.name == "four-words.svg" for _, path in shown)
    assert [path for text, path in shown if len(text) < 20 or not path.is_file()] == []


def test_the_map_of_the_house_names_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:cli|project|intake|work|store|spec|model)/[\w/.]*|\w+\.py)`", text)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / "src" / "stoker" / name).exists()] == []


def test_every_room_of_the_store_is_on_the_map():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = (ROOT / "src" / "stoker" / "store").iterdir()
    rooms = {path.name for path in folders if path.is_dir() and path.name != "__pycache__"}
    named = set(re.findall(r"`store/(\w+)/`", text)) | {"migrations"}
    assert rooms == named


def test_the_generated_parts_of_the_reference_say_what_the_code_says():
    """`make docs` brings them up to date."""
    outdated = generated_reference.outdated_files(ROOT / "docs")
    assert [str(path.relative_to(ROOT)) for path in outdated] == []


def test_an_outdated_part_of_the_reference_is_found(tmp_path):
    (tmp_path / "reference").mkdir()
    page = tmp_path / "reference" / "errors.md"
    page.write_text("# Errors\n<!-- generated: errors -->\nOUTDATED\n<!-- end of errors -->\nend\n")
    text = generated_reference.outdated_files(tmp_path)[page]
    assert "`StaleAttempt`" in text
    assert "OUTDATED" not in text
    assert text.endswith("<!-- end of errors -->\nend\n")
