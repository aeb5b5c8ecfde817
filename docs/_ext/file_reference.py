"""Writes the reference of `stoker.toml` from the JSON Schema that the package ships for editors."""

import json
from importlib import resources
from typing import Any

Schema = dict[str, Any]


def file_reference() -> str:
    """Every table of the file with its keys: what each may hold, and what it is when left out."""
    text = resources.files("stoker.spec").joinpath("stoker.schema.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    return "\n".join(_Walk(schema).sections(schema, ""))


class _Walk:
    """One pass through a schema that meets each table where the file has it."""

    def __init__(self, schema: Schema) -> None:
        self.definitions: dict[str, Schema] = schema.get("$defs", {})

    def resolve(self, schema: Schema) -> Schema:
        """Follow a reference, keeping what stands beside it."""
        while "$ref" in schema:
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = self.definitions[schema["$ref"].rsplit("/", 1)[-1]] | beside
        return schema

    def sections(self, schema: Schema, path: str) -> list[str]:
        """The table at `path`, then the tables inside it."""
        schema = self.resolve(schema)
        parts: list[str] = []
        properties = schema.get("properties", {})
        if properties:
            title = f"[[{path[:-2]}]]" if path.endswith("[]") else f"[{path}]"
            parts += [f"## `{title}`" if path else "## At the top", ""]
            parts += [schema.get("description", ""), ""]
            parts += ["| key | holds | when left out | |", "| --- | --- | --- | --- |"]
            required = schema.get("required", [])
            parts += [
                self.row(name, value, is_required=name in required)
                for name, value in properties.items()
            ]
            parts.append("")
        for name, value in properties.items():
            for inner, suffix in self.tables(value):
                parts += self.sections(inner, f"{path}.{name}{suffix}".lstrip("."))
        return parts

    def tables(self, schema: Schema) -> list[tuple[Schema, str]]:
        """The tables that a value may be, with what to add to its name: `.NAME` where users name."""
        schema = self.resolve(schema)
        found: list[tuple[Schema, str]] = []
        for option in schema.get("anyOf", []):
            found += self.tables(option)
        if "properties" in schema:
            found.append((schema, ""))
        named = schema.get("additionalProperties")
        if isinstance(named, dict):
            found += [(table, f".NAME{suffix}") for table, suffix in self.tables(named)]
        for pattern in schema.get("patternProperties", {}).values():
            found += [(table, f".NAME{suffix}") for table, suffix in self.tables(pattern)]
        if isinstance(schema.get("items"), dict):
            found += [(table, f"{suffix}[]") for table, suffix in self.tables(schema["items"])]
        return found

    def row(self, name: str, schema: Schema, *, is_required: bool) -> str:
        """One key of a table."""
        schema = self.resolve(schema)
        default = schema.get("default")
        absent = "*required*" if is_required else ""
        if default not in (None, "") and not isinstance(default, dict | list):
            absent = f"`{json.dumps(default)}`"
        cells = [f"`{name}`", self.kind(schema), absent, schema.get("description", "")]
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    def kind(self, schema: Schema) -> str:
        """What a value may be, in words."""
        schema = self.resolve(schema)
        if "enum" in schema:
            return ", ".join(f"`{value}`" for value in schema["enum"])
        if "const" in schema:
            return f"`{schema['const']}`"
        if "anyOf" in schema:
            kinds = [self.kind(option) for option in schema["anyOf"]]
            return " or ".join(dict.fromkeys(kind for kind in kinds if kind != "null"))
        if schema.get("type") == "array":
            return f"list of {self.kind(schema.get('items', {}))}"
        if schema.get("type") == "object":
            return "table"
        return str(schema.get("type", "any value"))
