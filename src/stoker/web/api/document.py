"""The OpenAPI document of the API: complete, and without a reference to anywhere else."""

import copy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

_TAGS = [
    {"name": "Look", "description": "What stands where, and why. The JSON of the command line."},
    {"name": "Submit", "description": "New items."},
    {"name": "Results", "description": "Tables, outputs, and the report."},
    {"name": "Groups", "description": "Items that belong together, and what they wait for."},
    {"name": "Fleet", "description": "Batch systems, their pilots, and messages."},
    {"name": "Share", "description": "Users and tokens, for admins."},
    {"name": "Repair", "description": "The verbs that change something, each with a selection."},
]
_SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of `stoker token create`, as `Authorization: Bearer stk_…`",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "stoker",
        "description": "The session of a user who has signed in with a browser",
    },
}
_TEXT = {"type": "string"}
_PROBLEM = {
    "title": "Problem",
    "description": "An error (RFC 9457). `errors` are all mistakes of the request.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["input", "rule", "detail"],
                "properties": {
                    "input": _TEXT,
                    "rule": _TEXT,
                    "detail": _TEXT,
                    "limit": {},
                    "value": {},
                },
            },
        },
    },
}


def document(api: FastAPI, address: str) -> dict[str, Any]:
    """Return the document in OpenAPI 3.1, for the API at this address."""
    made = get_openapi(
        title="Stoker",
        version=api.version,
        openapi_version="3.1.0",
        summary="Keeps machines fed with data",
        routes=api.routes,
        tags=_TAGS,
        servers=[{"url": address}],
    )
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for schema in schemas.values():
        _always_there(schema)
    schemas["Problem"] = _PROBLEM
    components["securitySchemes"] = _SCHEMES
    for path in made["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                content = answer.get("content", {})
                if status == "422" and "application/json" in content:
                    content["application/problem+json"] = content.pop("application/json")
    return made


def document_30(api: FastAPI, address: str) -> dict[str, Any]:
    """Return the same document in OpenAPI 3.0, which has no `null`, and one type for each value."""
    made: dict[str, Any] = _as_30(copy.deepcopy(document(api, address)))
    made["openapi"] = "3.0.3"
    made["info"].pop("summary", None)
    return made


def _always_there(schema: dict[str, Any]) -> None:
    """Fields of answers are there always, also those that have a default in the code.

    Bodies of requests are recognised by what they forbid: unknown members.
    """
    is_answer = schema.get("type") == "object" and schema.get("additionalProperties") is not False
    names = list(schema.get("properties", {}))
    if is_answer and names:
        schema["required"] = names


def _as_30(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_30(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {name: _as_30(one) for name, one in value.items()}
    options = made.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        options = [one for one in options if one != {"type": "null"}]
        del made["anyOf"]
        made |= {"allOf": options} if len(options) == 1 else {"anyOf": options}
        made["nullable"] = True
    if "const" in made:
        made["enum"] = [made.pop("const")]
    for name, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if name in made and not isinstance(made[name], bool):
            made[bound] = made[name]
            made[name] = True
    if "prefixItems" in made:
        made["items"] = {"anyOf": made.pop("prefixItems")}
    if "examples" in made and isinstance(made["examples"], list):
        made["example"] = made.pop("examples")[0]
    return made
