"""Validates what commands print with `--json` against the schemas of the reference."""

import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any

from jsonschema import Draft202012Validator

from stoker.cli.outputs import OUTPUTS, Output, schema_of


def validate_output(arguments: Sequence[str], out: str) -> None:
    """The output of `stoker` with these arguments is as the reference says; AssertionError if not."""
    name, output = output_of(arguments)
    lines = out.splitlines()
    assert output.is_lines or len(lines) == 1, f"`{name}` prints one object, not {len(lines)} lines"
    for line in lines:
        problems = [
            error.message for error in strict_validator(output.kind).iter_errors(loads(line))
        ]
        assert not problems, f"`{name} --json`: {problems}"


def output_of(arguments: Sequence[str]) -> tuple[str, Output]:
    """Return which command this is, and what it prints."""
    words = [str(word) for word in arguments if not str(word).startswith("-")]
    candidates = [" ".join(words[:2]), words[0]]
    if words[0] == "run" and "--dry-run" in arguments:
        candidates = ["run --dry-run"]
    if words[:1] == ["pool"] and words[:2] != ["pool", "set"]:
        candidates = ["pool list"]
    found = next(name for name in candidates if name in OUTPUTS)
    return found, OUTPUTS[found]


def loads(line: str) -> Any:
    """Return the value of a line of strict JSON."""
    return json.loads(line, parse_constant=_refuse)


def _refuse(word: str) -> None:
    raise AssertionError(f"`{word}` is not JSON")


@functools.cache
def strict_validator(kind: type) -> Draft202012Validator:
    """Return a validator that also refuses fields that the schema does not name."""
    schema = schema_of(kind)
    for one in objects_in(schema):
        one["additionalProperties"] = False
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def objects_in(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the schemas of dataclasses in a schema."""
    for one in (schema, *schema.get("$defs", {}).values()):
        if "properties" in one:
            yield one
