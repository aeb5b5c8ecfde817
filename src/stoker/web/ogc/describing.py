"""A pipeline as a process of the standard: its summary, and its description with inputs and outputs."""

import mimetypes
from typing import Any

from stoker.model.offer import results_of
from stoker.model.pipeline import ItemKind, Param, ParamType, Pipeline
from stoker.model.web import Result
from stoker.store.reports.offered import Offered
from stoker.store.reports.outlook import Usual
from stoker.web.links import JSON, OGC, Links, link

ITEM = "item"
BYTES = "application/octet-stream"
_TYPES = {
    ParamType.INTEGER: "integer",
    ParamType.NUMBER: "number",
    ParamType.BOOLEAN: "boolean",
}


def summary(offered: Offered, links: Links, usual: Usual) -> dict[str, Any]:
    """Return the process as lists have it, with what is usual for its jobs."""
    pipeline = offered.pipeline
    address = links.to("processes", pipeline.name)
    is_sync = pipeline.web.wait_s is not None
    return {
        "id": pipeline.name,
        "title": pipeline.title or pipeline.name,
        **({"description": pipeline.description} if pipeline.description else {}),
        "version": str(offered.number),
        "jobControlOptions": [*(["sync-execute"] if is_sync else []), "async-execute", "dismiss"],
        "outputTransmission": ["value", "reference"],
        **_expected(usual),
        "links": [
            link("self", address, type_=JSON, title="This process"),
            link(
                f"{OGC}/execute",
                links.to("processes", pipeline.name, "execution"),
                type_=JSON,
                title="Execute it: POST",
            ),
        ],
    }


def _expected(usual: Usual) -> dict[str, Any]:
    """Return how many jobs wait, and how long one runs, in seconds, as far as it is known."""
    made: dict[str, Any] = {"jobsWaiting": usual.waiting}
    if usual.typical_s is not None and usual.most_s is not None:
        most_s = max(usual.most_s, usual.typical_s)
        made["expectedDuration"] = {"median": round(usual.typical_s, 3), "high": round(most_s, 3)}
    return made


def description(offered: Offered, links: Links, usual: Usual) -> dict[str, Any]:
    """Return the process with its inputs and outputs. It gets the links to itself with its form."""
    pipeline = offered.pipeline
    made = summary(offered, links, usual)
    made["links"] = [one for one in made["links"] if one["rel"] != "self"]
    made["inputs"] = inputs_of(pipeline)
    made["outputs"] = {one.name: _output(pipeline, one) for one in results_of(pipeline)}
    return made


def inputs_of(pipeline: Pipeline) -> dict[str, Any]:
    """Return the inputs: the parameters, and `item` where an item is a file or a folder."""
    found = {param.name: _input(param) for param in pipeline.params}
    if pipeline.items is ItemKind.RECORDS:
        return found
    file = {
        "title": "The file to process",
        "schema": {"type": "string", "contentMediaType": BYTES},
        "minOccurs": 1,
        "maxOccurs": 1,
    }
    return {ITEM: file, **found}


def _input(param: Param) -> dict[str, Any]:
    made: dict[str, Any] = {"title": param.title or param.name}
    words = [param.description] if param.description else []
    if param.unit:
        words.append(f"Unit: {param.unit}")
    if words:
        made["description"] = "\n\n".join(words)
    return {
        **made,
        "schema": schema_of(param),
        "minOccurs": 1 if param.required else 0,
        "maxOccurs": 1,
    }


def schema_of(param: Param) -> dict[str, Any]:
    """Return the JSON Schema of a parameter's values."""
    if param.type is ParamType.LIST:
        made: dict[str, Any] = {"type": "array", "items": _schema_of_one(param, param.items)}
        limits = {"minItems": param.min_items, "maxItems": param.max_items}
        made |= {name: value for name, value in limits.items() if value is not None}
    else:
        made = _schema_of_one(param, param.type)
    if param.default is not None:
        made["default"] = param.default
    if param.example is not None and param.type is not ParamType.PATH:
        made["example"] = param.example
    return made


def _schema_of_one(param: Param, kind: ParamType) -> dict[str, Any]:
    made: dict[str, Any] = {"type": _TYPES.get(kind, "string")}
    if kind is ParamType.PATH:
        media = param.media or (BYTES,)
        if len(media) == 1:
            return {**made, "contentMediaType": media[0]}
        return {"oneOf": [{"type": "string", "contentMediaType": one} for one in media]}
    limits = {
        "minimum": param.minimum,
        "maximum": param.maximum,
        "maxLength": param.max_length,
        "pattern": None if param.pattern is None else f"^(?:{param.pattern})$",
        "enum": list(param.choices) or None,
    }
    return made | {name: _plain(value) for name, value in limits.items() if value is not None}


def _plain(value: Any) -> Any:
    """Return a limit that is a whole number as one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _output(pipeline: Pipeline, result: Result) -> dict[str, Any]:
    if result.is_value:
        schema = {
            "oneOf": [{"type": one} for one in ("string", "number", "boolean", "array", "object")]
        }
        return {"title": result.name, "schema": schema}
    output = pipeline.step(result.step).output(result.field)
    return {
        "title": output.title or result.name,
        "schema": {"type": "string", "contentMediaType": media_of(pipeline, result)},
    }


def media_of(pipeline: Pipeline, result: Result, path: str | None = None) -> str:
    """Return the media type of a result; of the file at `path` if it is known."""
    if result.is_value:
        return JSON
    output = pipeline.step(result.step).output(result.field)
    if output.media is not None:
        return output.media
    guessed, encoding = mimetypes.guess_type(path or output.to, strict=False)
    if encoding is not None:
        return f"application/{encoding}"
    return guessed or BYTES
