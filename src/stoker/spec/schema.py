"""The shape of `stoker.toml`: which keys stand where, and what each may hold.

These models know nothing of how keys depend on each other; `spec.build` checks that. The JSON
Schema that editors use is generated from them. They are imported only where a file is read, since
pydantic is slow to load.
"""

from typing import Annotated, Any, Literal

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

from stoker.spec.quantities import SIZE_PATTERN, TIME_PATTERN, parse_size, parse_time

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"

RESERVED_SECTIONS = ("sites", "batch", "notify", "retention", "shares")
RESERVED_STEP_KEYS = ("site", "serve", "together", "per", "group", "needs")

VerdictWord = Literal["done", "skip", "stop", "later", "retry", "fail"]
TypeWord = Literal["string", "integer", "number", "boolean", "list", "path", "choice"]

Name = Annotated[str, Field(pattern=NAME_PATTERN)]


def _time_schema(description: str) -> WithJsonSchema:
    either = [{"type": "string", "pattern": TIME_PATTERN}, {"type": "number", "minimum": 0}]
    return WithJsonSchema({"anyOf": either, "description": description})


_SIZE_SCHEMA = {
    "anyOf": [{"type": "string", "pattern": SIZE_PATTERN}, {"type": "integer", "minimum": 1}]
}

Time = Annotated[float, BeforeValidator(parse_time), _time_schema("seconds, or as `90s`, `1.5h`")]
Size = Annotated[int, BeforeValidator(parse_size), WithJsonSchema(_SIZE_SCHEMA)]


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


Sizes = Annotated[
    list[Size],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [_SIZE_SCHEMA, {"type": "array", "items": _SIZE_SCHEMA}]}),
]


def _slot_names(value: object) -> list[str]:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return [str(number) for number in range(value)]
    if isinstance(value, list) and value and all(isinstance(name, str) and name for name in value):
        if len(set(value)) < len(value):
            raise ValueError("two slots have the same name")
        return value
    raise ValueError("slots are a number of at least 1, or a list of names")


_SLOTS_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True},
    ]
}
Slots = Annotated[list[str], BeforeValidator(_slot_names), WithJsonSchema(_SLOTS_SCHEMA)]


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


class OutputTable(ShortTable):
    """One output: what the tool writes, and where it is published."""

    to: str | None = Field(
        default=None, description="published path; a trailing slash makes it a folder"
    )
    pick: str | None = Field(default=None, alias="from", description="a glob in scratch")
    optional: bool = False
    temp: bool = Field(default=False, description="deleted when its last successor is done")
    overwrite: bool = Field(default=False, description="may replace a file of somebody else's")
    stage: Literal["beside"] | None = None


class PoolTable(ShortTable):
    """Named slots that all workers share."""

    slots: Slots | None = None
    per: Literal["host"] | None = None
    kind: Literal["gpu"] | None = None
    between: str | None = Field(default=None, pattern=r"^\d\d:\d\d-\d\d:\d\d$")
    per_minute: int | None = Field(default=None, ge=1)

    @classmethod
    def short_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of a pool that is only slots."""
        return _SLOTS_SCHEMA


def _long_output(value: object) -> object:
    return {"to": value} if isinstance(value, str) else value


def _long_pool(value: object) -> object:
    is_table = isinstance(value, dict | PoolTable)
    return value if is_table else {"slots": value}


class ParamTable(Table):
    """One parameter of an item, and the rules for its values."""

    type: TypeWord = "string"
    items: TypeWord = Field(default="string", description="type of a list's elements")
    required: bool = False
    default: Any = None
    pattern: str | None = Field(default=None, description="regular expression for the whole value")
    minimum: float | None = None
    maximum: float | None = None
    choices: list[str] = []
    title: str = ""


class SourceTable(Table):
    """Where items come from: a folder, or a table with a row for each."""

    folder: str | None = None
    glob: str = "**/*"
    exclude: list[str] = []
    settle: Time = 10.0
    table: str | None = None


class CauseTable(Table):
    """A known failure: how its messages look, what it means, what to do about it."""

    match: str = ""
    say: str = ""
    do: str = ""


class DefaultsTable(Table):
    """What holds for every step of a pipeline unless the step says otherwise."""

    env: dict[Annotated[str, Field(pattern=VARIABLE_PATTERN)], str] = {}
    prepare: str | None = Field(default=None, description="shell text, run once a worker and step")
    interpreter: str | None = Field(
        default=None, description="the Python that a `python` step runs under"
    )
    cpus: int = Field(default=1, ge=1)
    memory: Sizes = Field(default=[], description="a limit, or several that retries climb")
    pools: dict[Name, Annotated[int, Field(ge=1)]] = {}
    secrets: list[str] = []
    timeout: Annotated[Time, Field(gt=0)] | None = None
    retries: int = Field(default=0, ge=0)
    backoff: Time = 10.0
    exits: dict[str, VerdictWord] = {}
    error_markers: list[str] = []
    causes: list[CauseTable] = []


class StepTable(DefaultsTable):
    """One step: a command with its needs and outputs. Exactly one of `run`, `argv`, `python`."""

    run: str | None = Field(default=None, description="shell text for `bash -euo pipefail`")
    argv: Annotated[list[Word], Field(min_length=1)] | None = None
    python: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    after: list[str] = []
    when: str | None = Field(default=None, description="a condition in CEL")
    outputs: dict[Name, Annotated[OutputTable, BeforeValidator(_long_output)]] = {}


class PipelineTable(Table):
    """One pipeline."""

    title: str = ""
    items: Literal["files", "folders", "records"] = "files"
    key: str | None = None
    on_change: Literal["rerun", "ignore", "fail"] = "rerun"
    priority: int = Field(default=0, description="of its items, higher first")
    params: dict[Name, ParamTable] = {}
    sources: dict[Name, SourceTable] = {}
    defaults: DefaultsTable = DefaultsTable()
    steps: dict[Name, StepTable] = {}


class ProjectTable(Table):
    """The project as a whole."""

    name: str | None = Field(default=None, min_length=1)


class StoreTable(Table):
    """Where the record of everything is kept."""

    url: str = "sqlite:///.stoker/stoker.db"


class HostTable(Table):
    """What holds for the workers on some hosts."""

    scratch: str | None = None


class WorkerTable(HostTable):
    """What holds for all workers."""

    hosts: dict[str, HostTable] = Field(default={}, description="by glob on the host's name")


class SecretsTable(Table):
    """Environment variables that only those steps get which list them."""

    names: list[Annotated[str, Field(pattern=VARIABLE_PATTERN)]] = []


class IncludedFile(Table):
    """A file that the main file includes."""

    pipelines: dict[Name, PipelineTable] = {}


class ProjectFile(IncludedFile):
    """The main file."""

    include: list[str] = []
    project: ProjectTable = ProjectTable()
    store: StoreTable = StoreTable()
    worker: WorkerTable = WorkerTable()
    pools: dict[Name, Annotated[PoolTable, BeforeValidator(_long_pool)]] = {}
    secrets: SecretsTable = SecretsTable()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of `stoker.toml`, as it is shipped beside this module."""
    schema = ProjectFile.model_json_schema(by_alias=True)
    pairs = (("run", "argv"), ("run", "python"), ("argv", "python"))
    schema["$defs"]["StepTable"]["not"] = {"anyOf": [{"required": list(pair)} for pair in pairs]}
    tidy = {key: _tidy(value) for key, value in schema.items() if key not in _HEAD}
    return _HEAD | tidy


_HEAD = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "stoker.toml",
    "description": "A project of Stoker: its store, its pools and its pipelines.",
}


def _tidy(schema: Any) -> Any:
    """Return a schema without what TOML cannot say (null) and without generated titles."""
    if isinstance(schema, list):
        return [_tidy(element) for element in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {key: _tidy(value) for key, value in schema.items() if not _is_noise(key, value)}
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    options = tidy.get("anyOf", [])
    if {"type": "null"} in options:
        options.remove({"type": "null"})
        if len(options) == 1:
            tidy = {**options[0], **{key: tidy[key] for key in tidy if key != "anyOf"}}
    return tidy


def _is_noise(key: str, value: object) -> bool:
    return (key == "title" and isinstance(value, str)) or (key == "default" and value is None)
