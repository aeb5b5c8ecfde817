"""The schemas of the reference and the commands agree, and validation can fail."""

import json

import click
import pytest

from integration.cli.schemas import validate_output
from stoker.cli.main import cli
from stoker.cli.outputs import OUTPUTS


def commands_with_json(command, path=()):
    context = click.Context(command)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from commands_with_json(command.get_command(context, name), (*path, name))
    if any("--json" in option.opts for option in command.params):
        yield " ".join(path)


def test_every_command_with_json_has_a_schema():
    named = {name.partition(" --")[0] for name in OUTPUTS}
    assert named == set(commands_with_json(cli))


GOOD = {
    "registered": 1,
    "known": 0,
    "changed": 0,
    "quarantined": 0,
    "conflicts": 0,
    "refused": 0,
    "failed": 0,
    "keys": ["a"],
}


@pytest.mark.parametrize(
    "broken",
    [GOOD | {"known": "none"}, GOOD | {"extra": 1}, {"registered": 1}],
    ids=["another_type", "an_unknown_field", "a_missing_field"],
)
def test_output_that_breaks_its_schema_is_found(broken):
    validate_output(("push", "count", "--json"), json.dumps(GOOD))
    with pytest.raises(AssertionError):
        validate_output(("push", "count", "--json"), json.dumps(broken))


def test_two_lines_where_one_object_is_promised_are_found():
    line = json.dumps(GOOD)
    with pytest.raises(AssertionError, match="one object"):
        validate_output(("push", "count", "--json"), f"{line}\n{line}\n")


def test_numbers_that_are_not_json_are_found():
    with pytest.raises(AssertionError, match="not JSON"):
        validate_output(("push", "count", "--json"), '{"registered": NaN}')
