"""The shape of `stoker.toml`: which keys stand where, and what each may hold.

These models know nothing of how keys depend on each other; `spec.build` checks that. The JSON
Schema that editors use is generated from them. They are imported only where a file is read, since
pydantic is slow to load.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, FiniteFloat

from stoker.model import bounds
from stoker.model.hours import PATTERN as HOURS_PATTERN
from stoker.spec.quantities import parse_time
from stoker.spec.shapes import (
    FUNCTION_PATTERN,
    SLOTS_SCHEMA,
    TIME_SCHEMA,
    VARIABLE_PATTERN,
    Cpus,
    Name,
    ShortTable,
    Size,
    Sizes,
    Slots,
    Table,
    Time,
    Word,
    within,
)
from stoker.spec.source_keys import RulesTable, SourceTable

RESERVED_SECTIONS = ("sites", "batch", "notify")
RESERVED_STEP_KEYS = ("site", "serve", "per", "group")

VerdictWord = Literal["done", "skip", "stop", "later", "retry", "fail"]
TypeWord = Literal["string", "integer", "number", "boolean", "list", "path", "choice"]


class OutputTable(ShortTable):
    """One output: what the tool writes, and where it is published."""

    to: str | None = Field(
        default=None, description="published path; a trailing slash makes it a folder"
    )
    pick: str | None = Field(default=None, alias="from", description="a glob in scratch")
    optional: bool = Field(default=False, description="it may be missing")
    temp: bool = Field(default=False, description="deleted when its last successor is done")
    overwrite: bool = Field(default=False, description="may replace a file of somebody else's")
    stage: Literal["beside"] | None = Field(
        default=None, description="written hidden beside its target, then renamed"
    )


class PoolTable(ShortTable):
    """Named slots that all workers share."""

    slots: Slots | None = Field(default=None, description="their number, or their names")
    per: Literal["host"] | None = Field(
        default=None, description="slots of each host, not of all together"
    )
    kind: Literal["gpu"] | None = Field(default=None, description="`gpu` sets CUDA_VISIBLE_DEVICES")
    between: str | None = Field(
        default=None,
        pattern=HOURS_PATTERN,
        description="hours of the day within which attempts may begin, as `20:00-08:00`",
    )
    zone: str | None = Field(
        default=None,
        description="whose clock `between` means, as `Europe/Vienna`; otherwise the host's own",
    )
    per_minute: Annotated[int, within(bounds.PER_MINUTE)] | None = Field(
        default=None, description="how many attempts may begin in a minute"
    )

    @classmethod
    def short_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of a pool that is only slots."""
        return SLOTS_SCHEMA


def _long_output(value: object) -> object:
    return {"to": value} if isinstance(value, str) else value


def _long_pool(value: object) -> object:
    is_table = isinstance(value, dict | PoolTable)
    return value if is_table else {"slots": value}


class ParamTable(Table):
    """One parameter of an item, and the rules for its values."""

    type: TypeWord = Field(default="string", description="what a value may be")
    items: TypeWord = Field(default="string", description="type of a list's elements")
    required: bool = Field(default=False, description="an item without it is refused")
    default: Any = Field(default=None, description="the value where an item names none")
    pattern: str | None = Field(default=None, description="regular expression for the whole value")
    minimum: FiniteFloat | None = Field(default=None, description="the lowest number allowed")
    maximum: FiniteFloat | None = Field(default=None, description="the highest number allowed")
    choices: list[str] = Field(default=[], description="the values that a `choice` may have")
    title: str = Field(default="", description="what it is, in a few words for people")


class CauseTable(Table):
    """A known failure: how its messages look, what it means, what to do about it."""

    match: str = Field(
        default="", description="regular expression, searched in what the failure says"
    )
    say: str = Field(default="", description="what it means, in your own words")
    do: str = Field(default="", description="what to do about it")


class DefaultsTable(Table):
    """What holds for every step of a pipeline unless the step says otherwise."""

    env: dict[Annotated[str, Field(pattern=VARIABLE_PATTERN)], str] = Field(
        default={}, description="environment variables; the values are templates"
    )
    prepare: str | None = Field(default=None, description="shell text, run once a worker and step")
    interpreter: str | None = Field(
        default=None, description="the Python that a `python` step runs under"
    )
    cpus: Cpus = Field(default=1, description="how many cpus an attempt takes")
    memory: Sizes = Field(default=[], description="a limit, or several that retries climb")
    disk: Annotated[Size, Field(gt=0)] | None = Field(
        default=None, description="what an attempt's scratch may hold, its outputs among it"
    )
    open_files: Annotated[int, within(bounds.OPEN_FILES)] | None = Field(
        default=None, description="how many files a process of an attempt may have open"
    )
    pools: dict[Name, Annotated[int, Field(ge=1, le=bounds.POOL_SLOTS.most)]] = Field(
        default={}, description="how many slots of which pool an attempt holds"
    )
    needs: list[Name] = Field(default=[], description="tags that a worker must have to run it")
    together: Name | None = Field(
        default=None, description="steps of this name run on one host for each item"
    )
    secrets: list[str] = Field(default=[], description="which of the `[secrets]` an attempt gets")
    timeout: Annotated[Time, Field(gt=0)] | None = None
    retries: Annotated[int, within(bounds.RETRIES)] = Field(
        default=0, description="how often a failed task is tried again by itself"
    )
    backoff: Time = 10.0
    exits: dict[str, VerdictWord] = Field(default={}, description="what an exit code means")
    error_markers: list[str] = Field(
        default=[],
        description="regular expressions that make an attempt failed where its output has them",
    )
    causes: list[CauseTable] = Field(default=[], description="known failures")


class StepTable(DefaultsTable):
    """One step: a command with its needs and outputs. Exactly one of `run`, `argv`, `python`."""

    run: str | None = Field(default=None, description="shell text for `bash -euo pipefail`")
    argv: Annotated[list[Word], Field(min_length=1)] | None = Field(
        default=None, description="the command, word by word, without a shell"
    )
    python: str | None = Field(
        default=None,
        pattern=FUNCTION_PATTERN,
        description="`module:function`, called in a warm process",
    )
    after: list[str] = Field(
        default=[], description="the steps that come before; those named in templates are so anyway"
    )
    when: str | None = Field(default=None, description="a condition in CEL")
    outputs: dict[Name, Annotated[OutputTable, BeforeValidator(_long_output)]] = Field(
        default={}, description="what it writes, and where that is published"
    )
    renamed_from: Name | None = Field(
        default=None,
        description="what the step was called before: its tasks, history and outputs carry over",
    )


class PipelineTable(Table):
    """One pipeline."""

    title: str = Field(default="", description="what it does, in a few words for people")
    items: Literal["files", "folders", "records"] = Field(
        default="files", description="what an item is"
    )
    key: str | None = Field(default=None, description="a template for the keys of items")
    on_change: Literal["rerun", "ignore", "fail"] = Field(
        default="rerun", description="what to do about a known item with new content"
    )
    priority: Annotated[int, within(bounds.PRIORITY)] = Field(
        default=0, description="of its items, higher first"
    )
    params: dict[Name, ParamTable] = Field(default={}, description="the parameters of an item")
    sources: dict[Name, SourceTable] = Field(default={}, description="where items come from")
    extract: Annotated[str, Field(pattern=FUNCTION_PATTERN)] | list[str] | None = Field(
        default=None,
        description="what reads an item's header into `meta`, once: `module:function`, or the words "
        "of a command that prints a JSON object",
    )
    rules: RulesTable = Field(
        default=RulesTable(), alias="validate", description="what must be true of an item's file"
    )
    defaults: DefaultsTable = DefaultsTable()
    steps: dict[Name, StepTable] = Field(default={}, description="the steps")
    renamed_from: Name | None = Field(
        default=None,
        description="what the pipeline was called before: its items and all that is known of them "
        "carry over",
    )


class ProjectTable(Table):
    """The project as a whole."""

    name: str | None = Field(
        default=None,
        min_length=1,
        description="what it is called; the name of the folder if left out",
    )


class StoreTable(Table):
    """Where the record of everything is kept."""

    url: str = Field(
        default="sqlite:///.stoker/stoker.db",
        description="the database, as a URL without a password; `${NAME}` in it stands for a variable "
        "of the environment",
    )
    password_file: str | None = Field(
        default=None,
        description="a file whose first line is the password to the database; others may not read it",
    )
    access: Literal["private", "group"] = Field(
        default="private",
        description="who may read and write what is in `.stoker`: its owner alone, or the group of the "
        "project's folder too",
    )


class ItemAges(ShortTable):
    """How long items are kept, by their state."""

    done: Time | None = None
    cancelled: Time | None = None

    @classmethod
    def short_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of one time for every state."""
        return TIME_SCHEMA


class AttemptAges(ShortTable):
    """How long something of attempts is kept, by the state in which they ended."""

    succeeded: Time | None = None
    failed: Time | None = None
    timed_out: Time | None = None
    out_of_memory: Time | None = None
    cancelled: Time | None = None
    lost: Time | None = None

    @classmethod
    def short_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of one time for every state."""
        return TIME_SCHEMA


def _ages(shape: type[Table]) -> BeforeValidator:
    """One time stands for all states."""

    def long(value: object) -> object:
        if isinstance(value, dict | shape):
            return value
        return dict.fromkeys(shape.model_fields, parse_time(value))

    return BeforeValidator(long)


class RetentionTable(Table):
    """How long what is kept: nothing of it is ever deleted unless this says so."""

    items: Annotated[ItemAges, _ages(ItemAges)] = Field(
        default=ItemAges(),
        description="items are forgotten, with all that is kept of them, so long after the last thing "
        "happened to them: one time, or one for each of `done` and `cancelled`",
    )
    attempts: Annotated[AttemptAges, _ages(AttemptAges)] = Field(
        default=AttemptAges(),
        description="attempts after which the task was tried again are forgotten so long after their "
        "end: one time, or one for each state",
    )
    logs: Annotated[AttemptAges, _ages(AttemptAges)] = Field(
        default=AttemptAges(),
        description="what an attempt wrote to stdout and stderr is deleted so long after its end: one "
        "time, or one for each state",
    )
    journal: Time | None = Field(
        default=None,
        description="the history of a finished item is reduced to one row of the journal after this "
        "time",
    )


class HostTable(Table):
    """What holds for the workers on some hosts."""

    scratch: str | None = Field(
        default=None, description="the folder in which attempts get their private folders"
    )
    tags: list[Name] | None = Field(default=None, description="what steps may need, by name")
    cpus: Cpus | None = Field(
        default=None, description="how many cpus attempts may use; otherwise all there are"
    )
    memory: Size | None = Field(
        default=None, description="how much memory attempts may use; otherwise all there is"
    )


class WorkerTable(HostTable):
    """What holds for all workers."""

    hosts: dict[str, HostTable] = Field(default={}, description="by glob on the host's name")


class SharesTable(Table):
    """Between whom the slots are divided evenly, or by weight."""

    by: Literal["user", "pipeline", "file"] | None = Field(
        default=None, description="who pushed the items, their pipelines, or the included files"
    )
    weights: dict[str, Annotated[float, Field(strict=False), within(bounds.WEIGHT)]] = Field(
        default={}, description="what somebody gets in proportion to others, otherwise 1"
    )


class SecretsTable(Table):
    """Environment variables that only those steps get which list them."""

    names: list[Annotated[str, Field(pattern=VARIABLE_PATTERN)]] = Field(
        default=[], description="the names of the variables"
    )


class IncludedFile(Table):
    """A file that the main file includes."""

    pipelines: dict[Name, PipelineTable] = Field(default={}, description="the pipelines, by name")


class ProjectFile(IncludedFile):
    """The main file."""

    include: list[str] = Field(default=[], description="globs of further files with pipelines")
    project: ProjectTable = ProjectTable()
    store: StoreTable = StoreTable()
    worker: WorkerTable = WorkerTable()
    pools: dict[Name, Annotated[PoolTable, BeforeValidator(_long_pool)]] = Field(
        default={}, description="slots that all workers share"
    )
    shares: SharesTable = SharesTable()
    secrets: SecretsTable = SecretsTable()
    retention: RetentionTable = RetentionTable()


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
