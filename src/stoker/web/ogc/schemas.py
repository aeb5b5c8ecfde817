"""JSON Schemas of the documents that the standard's part of the service sends and takes."""

from typing import Any

_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}
_LINKS = {"type": "array", "items": {"$ref": "#/components/schemas/link"}}


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "object", "properties": properties}
    return {**made, "required": required.split()} if required else made


_OPTIONS = {"type": "string", "enum": ["sync-execute", "async-execute", "dismiss"]}
_SUMMARY: dict[str, Any] = {
    "id": _TEXT,
    "title": _TEXT,
    "description": _TEXT,
    "version": _TEXT,
    "jobControlOptions": {"type": "array", "items": _OPTIONS},
    "outputTransmission": {
        "type": "array",
        "items": {"type": "string", "enum": ["value", "reference"]},
    },
    "jobsWaiting": {"type": "integer", "minimum": 0},
    "expectedDuration": {
        "type": "object",
        "description": "seconds: half of the jobs take no longer than `median`, nine in ten than `high`",
        "properties": {"median": {"type": "number"}, "high": {"type": "number"}},
    },
    "links": _LINKS,
}
_DESCRIBED = {
    "title": _TEXT,
    "description": _TEXT,
    "schema": {"type": "object"},
    "minOccurs": {"type": "integer"},
    "maxOccurs": {"type": "integer"},
}
_STATUS = {"type": "string", "enum": ["accepted", "running", "successful", "failed", "dismissed"]}

SCHEMAS: dict[str, Any] = {
    "link": _object("href", href=_TEXT, rel=_TEXT, type=_TEXT, title=_TEXT),
    "landingPage": _object("links", title=_TEXT, description=_TEXT, links=_LINKS),
    "confClasses": _object(
        "conformsTo", conformsTo={"type": "array", "items": _TEXT}, links=_LINKS
    ),
    "processSummary": _object("id version", **_SUMMARY),
    "processList": _object(
        "processes links",
        processes={"type": "array", "items": {"$ref": "#/components/schemas/processSummary"}},
        links=_LINKS,
    ),
    "process": _object(
        "id version inputs outputs",
        **_SUMMARY,
        inputs={"type": "object", "additionalProperties": _object("schema", **_DESCRIBED)},
        outputs={"type": "object", "additionalProperties": _object("schema", **_DESCRIBED)},
    ),
    "execute": {
        **_object(
            inputs={"type": "object", "description": "the values of inputs, by name"},
            outputs={
                "type": "object",
                "description": "the outputs that are wanted; all if left out",
                "additionalProperties": _object(
                    transmissionMode={"type": "string", "enum": ["value", "reference"]},
                    format=_object(mediaType=_TEXT, encoding=_TEXT, schema={"type": "object"}),
                ),
            },
            response={"type": "string", "enum": ["raw", "document"]},
            subscriber=_object(
                successUri=_TEXT, inProgressUri=_TEXT, failedUri=_TEXT, successUrl=_TEXT
            ),
        ),
        "additionalProperties": False,
    },
    "statusInfo": _object(
        "jobID type status",
        jobID=_TEXT,
        id=_TEXT,
        processID=_TEXT,
        type={"type": "string", "enum": ["process"]},
        status=_STATUS,
        message=_TEXT,
        progress={"type": "integer", "minimum": 0, "maximum": 100},
        queuePosition={"type": "integer", "minimum": 1},
        estimatedCompletion=_TIME,
        created=_TIME,
        started=_TIME,
        finished=_TIME,
        updated=_TIME,
        links=_LINKS,
    ),
    "definition": {"type": "object", "description": "a document of OpenAPI 3.0"},
    "jobList": _object(
        "jobs links",
        jobs={"type": "array", "items": {"$ref": "#/components/schemas/statusInfo"}},
        links=_LINKS,
    ),
    "results": {"type": "object", "description": "the results by name"},
    "inputs": _object("inputs", inputs={"type": "object"}, links=_LINKS),
    "logs": _object("logs", logs={"type": "array", "items": {"type": "object"}}, links=_LINKS),
    "statistics": _object(
        "steps", steps={"type": "array", "items": {"type": "object"}}, links=_LINKS
    ),
    "prov": {"type": "object", "description": "PROV-JSON"},
    "exception": _object(
        "type",
        type=_TEXT,
        title=_TEXT,
        status={"type": "integer"},
        detail=_TEXT,
        instance=_TEXT,
        errors={"type": "array", "items": {"type": "object"}},
    ),
}
