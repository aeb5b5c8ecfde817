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
from stoker.model.states import AttemptState, TaskState
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


def undescribed_keys(schema):
    walk = file_reference._Walk(schema)
    rows = [line for line in walk.sections(schema, "") if line.startswith("| `")]
    return [row for row in rows if re.search(r"\|\s*\|$", row)]


def test_every_key_of_the_file_says_what_it_is_for():
    text = resources.files("stoker.spec").joinpath("stoker.schema.json").read_text()
    assert undescribed_keys(json.loads(text)) == []


def test_a_key_without_description_is_found():
    schema = {
        "properties": {
            "a": {"type": "string", "description": "its use"},
            "b": {"type": "object", "additionalProperties": {"properties": {"c": {}}}},
        }
    }
    found = undescribed_keys(schema)
    assert [row.split("`")[1] for row in found] == ["b", "c"]


def test_every_state_has_its_sentence():
    table = generated_reference.state_tables()
    for state in (*TaskState, *AttemptState):
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
