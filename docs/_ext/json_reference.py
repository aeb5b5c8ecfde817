"""Writes the reference of the JSON that commands print, from the types that they print."""

import json
from collections.abc import Iterator
from typing import Any

from stoker.cli.outputs import OUTPUTS, schema_of


def json_reference() -> str:
    """Each command with the type of its JSON, then each type with its fields."""
    rows = ["| command | prints |", "| --- | --- |"]
    kinds: dict[str, dict[str, Any]] = {}
    for command, output in OUTPUTS.items():
        schema = schema_of(output.kind)
        kinds |= schema.pop("$defs", {})
        kinds[output.kind.__name__] = schema
        how = "a line for each: " if output.is_lines else "one "
        rows.append(f"| `stoker {command} --json` | {how}{_link(output.kind.__name__)} |")
    parts = ["\n".join(rows)]
    parts += ["\n".join(_section(name, kinds[name])) for name in sorted(kinds)]
    return "\n\n".join(parts) + "\n"


def json_schemas() -> str:
    """One JSON document with the schema of each command's output."""
    schemas = {
        command: {"lines": output.is_lines, "schema": schema_of(output.kind)}
        for command, output in OUTPUTS.items()
    }
    return json.dumps(schemas, indent=1) + "\n"


def _section(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"(json-{name.lower()})="
    yield f"## {name}"
    yield ""
    yield schema.get("description", "")
    yield ""
    yield "| field | type |"
    yield "| --- | --- |"
    for field, of in schema["properties"].items():
        yield f"| `{field}` | {_type(of)} |"


def _type(of: dict[str, Any]) -> str:  # noqa: PLR0911 - one for each shape of a schema
    if "$ref" in of:
        return _link(of["$ref"].rpartition("/")[2])
    if "anyOf" in of:
        return " or ".join(_type(one) for one in of["anyOf"])
    if "prefixItems" in of:
        return f"list of {len(of['prefixItems'])}: {', '.join(map(_type, of['prefixItems']))}"
    kind = of.get("type", "any")
    if kind == "array":
        return f"list of {_type(of.get('items', {}))}"
    if kind == "object":
        inner = of.get("additionalProperties")
        return f"object of {_type(inner)}" if isinstance(inner, dict) else "object"
    if of.get("format") == "date-time":
        return "time"
    return str(kind)


def _link(name: str) -> str:
    return f"[{name}](#json-{name.lower()})"
