"""Writes the reference of `stoker.toml` from the JSON Schema that the package ships for editors.

The schema has, for each key, what it means and what it does (two paragraphs of `description`), an
example, and its default, as a value or in words (`absent`).
"""

import json
import re
from importlib import resources
from typing import Any

from stoker.spec.quantities import SIZE_PATTERN, TIME_PATTERN

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
        self.written: dict[str, Schema] = {}  # the keys of the tables so far, by their titles

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
            parts += [f"## `{_title(path)}`" if path else "## At the top", ""]
            parts += [_paragraphs(schema.get("description", "")), ""]
            parts += self.keys(schema, path)
            parts.append("")
        for name, value in properties.items():
            for inner, suffix in self.tables(value):
                parts += self.sections(inner, f"{path}.{name}{suffix}".lstrip("."))
        return parts

    def keys(self, schema: Schema, path: str) -> list[str]:
        """The keys of a table; those that it has in common with an earlier one are not repeated."""
        properties = schema["properties"]
        parts: list[str] = []
        for other, keys in self.written.items():
            if properties.items() <= keys.items():
                names = ", ".join(f"`{name}`" for name in properties)
                return [f"It has these keys of `{other}`: {names}."]
        contained = [
            other for other, keys in self.written.items() if keys.items() <= properties.items()
        ]
        known: Schema = {}
        if contained:
            largest = max(contained, key=lambda other: len(self.written[other]))
            known = self.written[largest]
            parts += [f"It has the keys of `{largest}`, and these:", ""]
        self.written[_title(path)] = properties
        parts += [
            "| key | holds | default | meaning, effect, example |",
            "| --- | --- | --- | --- |",
        ]
        required = schema.get("required", [])
        parts += [
            self.row(name, value, path, is_required=name in required)
            for name, value in properties.items()
            if name not in known
        ]
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

    def row(self, name: str, schema: Schema, path: str = "", *, is_required: bool) -> str:
        """One key of the table at `path`."""
        schema = self.resolve(schema)
        kind = self.kind(schema)
        default = "required" if is_required else self.default(schema, kind)
        text = " ".join(schema.get("description", "").split("\n\n"))
        for example in schema.get("examples", [])[:1]:
            text += "".join(f"<br>`{line}`" for line in self.example(name, example, schema, path))
        cells = [f"`{name}`", kind, default, text]
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    def example(self, name: str, value: object, schema: Schema, path: str) -> list[str]:
        """The lines of the file that hold a key: a table has a header of its own."""
        has_header = isinstance(value, dict) and (not path or self.tables(schema))
        if not has_header:
            return [f"{name} = {_toml(value)}"]
        words = [path, name] if path else [name]
        while isinstance(value, dict) and len(value) == 1:
            ((inner, below),) = value.items()
            if not isinstance(below, dict):
                break
            words.append(_name(inner))
            value = below
        assert isinstance(value, dict)  # noqa: S101 - `has_header` holds, and the loop keeps it
        return [f"[{'.'.join(words)}]", *(f"{key} = {_toml(one)}" for key, one in value.items())]

    def default(self, schema: Schema, kind: str) -> str:
        """What holds where the key is left out."""
        if "absent" in schema:
            return str(schema["absent"])
        default = schema.get("default")
        if default in (None, "", [], {}) or isinstance(default, dict):
            return "none"
        if kind == "time":
            return f"`{_toml(_in_units(default, _SECONDS))}`"
        if kind == "size":
            return f"`{_toml(_in_units(default, _BYTES))}`"
        return f"`{_toml(default)}`"

    def kind(self, schema: Schema) -> str:
        """What a value may be, in words."""
        schema = self.resolve(schema)
        if "enum" in schema:
            return ", ".join(f"`{value}`" for value in schema["enum"])
        if "const" in schema:
            return f"`{schema['const']}`"
        if "anyOf" in schema:
            return self.kinds(schema["anyOf"])
        if schema.get("type") == "array":
            kind = self.kind(schema.get("items", {}))
            return f"list of ({kind})" if " or " in kind else f"list of {kind}"
        return {"object": "table"}.get(schema.get("type", ""), schema.get("type", "any value"))

    def kinds(self, options: list[Schema]) -> str:
        """What a value with several forms may be: two of them are how people write times and sizes."""
        patterns = {option.get("pattern") for option in options}
        for pattern, name in ((TIME_PATTERN, "time"), (SIZE_PATTERN, "size")):
            if pattern in patterns:
                return name
        kinds = [self.kind(option) for option in options]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind != "null"))


_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_BYTES = {"T": 2**40, "G": 2**30, "M": 2**20, "K": 2**10}
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def _in_units(number: float, units: dict[str, int]) -> str | float:
    """A time or size as people write it: in the largest unit of which it is a whole number."""
    for name, unit in units.items():
        if number >= unit and number % unit == 0:
            return f"{number / unit:g}{name}"
    return number


def _toml(value: object) -> str:
    """A value as the file would hold it, in one line."""
    if isinstance(value, dict):
        pairs = [f"{_name(key)} = {_toml(one)}" for key, one in value.items()]
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    if isinstance(value, str):
        is_literal = "\\" in value or '"' in value
        return f"'{value}'" if is_literal else f'"{value}"'
    return json.dumps(value)


def _title(path: str) -> str:
    return f"[[{path[:-2]}]]" if path.endswith("[]") else f"[{path}]"


def _name(key: str) -> str:
    return key if _BARE.fullmatch(key) else f'"{key}"'


def _paragraphs(text: str) -> str:
    """Paragraphs whose lines are filled where they are shown."""
    return "\n\n".join(part.replace("\n", " ") for part in text.split("\n\n"))
