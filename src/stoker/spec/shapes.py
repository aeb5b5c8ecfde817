"""The building blocks of the shape of `stoker.toml`: names, times, sizes, and tables themselves.

Imported only where a file is read, since pydantic is slow to load.
"""

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from stoker.model import bounds
from stoker.model.pool import check_slot_count, check_slot_names
from stoker.spec.quantities import SIZE_PATTERN, TIME_PATTERN, parse_size, parse_time

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
FUNCTION_PATTERN = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
M_FUNCTION_PATTERN = r"^[A-Za-z]\w{0,62}$"
R_FUNCTION_PATTERN = r"^[^:\x00-\x1f]+:[A-Za-z.][\w.]*$"
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"

Name = Annotated[str, Field(pattern=NAME_PATTERN)]


def within(of: bounds.Bounds) -> Any:
    """Return what holds a number of the file within bounds."""
    return Field(ge=of.least, le=of.most)


Cpus = Annotated[int, within(bounds.CPUS)]

TIME_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "string", "pattern": TIME_PATTERN}, {"type": "number", "minimum": 0}]
}


_SIZE_SCHEMA = {
    "anyOf": [{"type": "string", "pattern": SIZE_PATTERN}, {"type": "integer", "minimum": 1}]
}

Time = Annotated[
    float,
    BeforeValidator(parse_time),
    WithJsonSchema(TIME_SCHEMA),
]
Size = Annotated[int, BeforeValidator(parse_size), WithJsonSchema(_SIZE_SCHEMA)]


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


Sizes = Annotated[
    list[Size],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [_SIZE_SCHEMA, {"type": "array", "items": _SIZE_SCHEMA}]}),
]


Texts = Annotated[
    list[str],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


def _slot_names(value: object) -> list[str]:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        check_slot_count(value)
        return [str(number) for number in range(value)]
    if isinstance(value, list) and value and all(isinstance(name, str) and name for name in value):
        check_slot_names(value)
        return value
    raise ValueError("slots are a number of at least 1, or a list of names")


SLOTS_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": bounds.POOL_SLOTS.most},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True},
    ]
}
Slots = Annotated[list[str], BeforeValidator(_slot_names), WithJsonSchema(SLOTS_SCHEMA)]


def _argv_word(value: object) -> object:
    is_text = isinstance(value, str)
    is_group = isinstance(value, list) and all(isinstance(word, str) for word in value)
    if not (is_text or is_group):
        raise ValueError("a word of `argv` is a text, or a list of texts")
    return value


_WORD_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
}
Word = Annotated[Any, BeforeValidator(_argv_word), WithJsonSchema(_WORD_SCHEMA)]


def explained(
    meaning: str, effect: str, *, example: Any, default: Any = None, absent: str = "", **rules: Any
) -> Any:
    """Return a key of a table, explained for editors and for the reference.

    `meaning` is what the key stands for, `effect` what Stoker does because of it, `example` a value
    as a file would hold it. `absent` describes the default where it is not a value. `rules` are
    those of pydantic's `Field`.
    """
    return Field(
        default=default,
        description=f"{meaning}\n\n{effect}",
        examples=[example],
        json_schema_extra={"absent": absent} if absent else None,
        **rules,
    )


class Table(BaseModel):
    """A table of the file: unknown keys are mistakes, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=False)


class ShortTable(Table):
    """A table that may also be written as the single value that it mostly consists of."""

    @classmethod
    def short_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of the short form."""
        return {"type": "string"}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the schema of both forms."""
        long = handler.resolve_ref_schema(handler(core_schema))
        return {"anyOf": [cls.short_schema(), dict(long)]}
