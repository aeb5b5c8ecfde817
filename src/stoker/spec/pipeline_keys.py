"""The keys of a pipeline, and of its parameters."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, FiniteFloat, WithJsonSchema

from stoker.model import bounds
from stoker.model.web import MEDIA_RANGE
from stoker.spec.result_keys import ErrorFolder, ValueTable
from stoker.spec.shapes import FUNCTION_PATTERN, Name, Table, explained, within
from stoker.spec.source_keys import RulesTable, SourceTable
from stoker.spec.step_keys import DefaultsTable, StepTable
from stoker.spec.web_keys import PipelineWebTable, Reference

TypeWord = Literal["string", "integer", "number", "boolean", "list", "path", "choice"]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


_MEDIA_SCHEMA: dict[str, Any] = {"type": "string", "pattern": f"^({MEDIA_RANGE})$"}
Media = Annotated[
    list[Annotated[str, Field(pattern=f"^({MEDIA_RANGE})$")]],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [_MEDIA_SCHEMA, {"type": "array", "items": _MEDIA_SCHEMA}]}),
]


class ParamTable(Table):
    """One parameter of an item, and the rules for its values."""

    type: TypeWord = explained(
        "The kind of value.",
        "Texts from tables and command lines are converted, and others refused. A `path` is relative to "
        "the file that holds it, or to the folder where a person types it, and must exist when the item "
        "is registered; steps get it as an absolute path. A `list` is written with commas.",
        default="string",
        example="path",
    )
    items: TypeWord = explained(
        "The kind of a list's elements.",
        "Each element is converted and checked like a value of that kind.",
        default="string",
        example="integer",
    )
    required: bool = explained(
        "Whether an item must have a value.",
        "If true, an item without one is refused.",
        default=False,
        example=True,
    )
    default: Any = explained(
        "The value where an item has none.",
        "It is recorded with the item when the item is registered.",
        example=1.0,
    )
    pattern: str | None = explained(
        "A regular expression that must match the whole value.",
        "A value that does not match is refused.",
        example="Pen[0-9]+",
    )
    minimum: FiniteFloat | None = explained(
        "The lowest number allowed.",
        "A lower one is refused.",
        example=0,
    )
    maximum: FiniteFloat | None = explained(
        "The highest number allowed.",
        "A higher one is refused.",
        example=100,
    )
    choices: list[str] = explained(
        "The values that a `choice` may have.",
        "Others are refused, with the nearest right one. Forms offer them in a list.",
        default=[],
        example=["quick", "thorough"],
    )
    max_length: Annotated[int, within(bounds.TEXT_LENGTH)] | None = explained(
        "How many characters a text may have.",
        "A longer one is refused.",
        example=5000,
        absent="no limit",
    )
    min_items: Annotated[int, within(bounds.LIST_LENGTH)] | None = explained(
        "How many elements a list must have.",
        "A shorter one is refused.",
        example=1,
        absent="no limit",
    )
    max_items: Annotated[int, within(bounds.LIST_LENGTH)] | None = explained(
        "How many elements a list may have.",
        "A longer one is refused.",
        example=32,
        absent="no limit",
    )
    media: Media = explained(
        "The media types that an uploaded file may have.",
        "The web service refuses a file of another type.",
        default=[],
        example=["text/plain", "image/*"],
        absent="any type",
    )
    rules: RulesTable = explained(
        "Rules for the file that a `path` names.",
        "An item whose file breaks one is refused.",
        default=RulesTable(),
        example={"max_size": "1M"},
        alias="validate",
    )
    title: str = explained(
        "What the parameter is, in a few words for people.",
        "Forms and the web service's documents show it.",
        default="",
        example="E-value",
        absent="the parameter's name",
    )
    description: str = explained(
        "What the parameter does, for people, in CommonMark.",
        "Forms and the web service's documents show it.",
        default="",
        example="Hits above this **E-value** are left out.",
    )
    unit: str = explained(
        "The unit of the number.",
        "Forms show it beside the field.",
        default="",
        example="mm",
    )
    section: str = explained(
        "The part of the form that shows the parameter.",
        "Parameters with the same section are together. One named `Advanced` is folded.",
        default="",
        example="Advanced",
    )
    example: Any = explained(
        "A good value, for people.",
        "The web service's documents show it.",
        example=0.001,
    )


class PipelineTable(Table):
    """One pipeline: its items, where they come from, and the steps that each goes through."""

    title: str = explained(
        "What the pipeline does, in a few words for people.",
        "Pages and the web service's documents show it.",
        default="",
        example="Spike sorting",
        absent="the pipeline's name",
    )
    description: str = explained(
        "What the pipeline does and how, in CommonMark.",
        "Its page and the web service's documents show it.",
        default="",
        example="Finds **homologues** of a protein.",
    )
    items: Literal["files", "folders", "records", "groups"] = explained(
        "What an item is.",
        "`files` and `folders` have a path, `{item}`. `records` are keys with parameters and have no "
        "file. `groups` are made of another pipeline's items.",
        default="files",
        example="records",
    )
    key: str | None = explained(
        "A template for the keys of items.",
        "The key names an item within the pipeline: results are named by it, and commands select by it. "
        "Items with the same key are one item.",
        example="{params.block}",
        absent="[Keys](keys.md) has the rules",
    )
    on_change: Literal["rerun", "ignore", "fail"] = explained(
        "What to do when a known item has new content.",
        "`rerun` does it again, `ignore` leaves it as it is, `fail` reports a conflict.",
        default="rerun",
        example="ignore",
    )
    priority: Annotated[int, within(bounds.PRIORITY)] = explained(
        "The priority of the pipeline's items.",
        "Tasks with a higher number start first. `push --priority` sets another for single items.",
        default=0,
        example=10,
    )
    params: dict[Name, ParamTable] = explained(
        "The parameters of an item, by name.",
        "They are checked when the item is registered, and steps read them as `{params.NAME}`.",
        default={},
        example={"gain": {"type": "number", "default": 1.0}},
    )
    sources: dict[Name, SourceTable] = explained(
        "The places that items come from, by name.",
        "`stoker up` follows them; `stoker run` looks once.",
        default={},
        example={"incoming": {"folder": "incoming"}},
        absent="only `stoker push` registers items",
    )
    extract: Annotated[str, Field(pattern=FUNCTION_PATTERN)] | list[str] | None = explained(
        "A function, as `module:function`, or the words of a command, that reads a file's header.",
        "It looks at each new file once, before any step. The names and values that it returns, or prints "
        "as a JSON object, become the item's `meta`. If it fails, the item is quarantined.",
        example="headers:read",
    )
    rules: RulesTable = explained(
        "Rules for an item's file.",
        "An item that breaks one is quarantined.",
        default=RulesTable(),
        example={"min_size": 1},
        alias="validate",
    )
    defaults: DefaultsTable = explained(
        "Settings for every step of the pipeline.",
        "A step's own setting comes first.",
        default=DefaultsTable(),
        example={"retries": 2},
    )
    steps: dict[Name, StepTable] = explained(
        "The steps, by name.",
        "Every item goes through each of them once.",
        default={},
        example={"convert": {"run": "convert {item} {out.image}"}},
        absent="required",
    )
    web: PipelineWebTable = explained(
        "What the pipeline offers over HTTP.",
        "It sets who may submit, and how much.",
        default=PipelineWebTable(),
        example={"public": True},
    )
    results: dict[Name, Reference] = explained(
        "What clients of the web service get, by name.",
        "Other outputs and values are not shown to them.",
        default={},
        example={"hits": "outputs.search.table"},
        absent="all outputs of the last steps, except `temp` ones",
    )
    error_folder: ErrorFolder | None = explained(
        "A folder for each item whose task has failed for good: its path, or a table.",
        "It appears with the reason, the logs and what you pick, and is removed when the item is done "
        "after all.",
        example="errors/{key}/",
    )
    tables: dict[Name, ValueTable] = explained(
        "Tables of values, by name: a path, or a table.",
        "Each has one row for each item that is done, and is kept current.",
        default={},
        example={"all": "results/all.csv"},
    )
    renamed_from: Name | None = explained(
        "The pipeline's earlier name.",
        "Its items, tasks, history and outputs carry over to the new name, and nothing runs again.",
        example="spikes",
    )
