"""The definition of the standard's part of the service: OpenAPI 3.0, and a page of the same."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from stoker import __version__
from stoker.web.answers import HTML, JSON, form_of, json_answer, site_of
from stoker.web.links import OPENAPI_30
from stoker.web.needs import Need
from stoker.web.ogc import jobs, landing, processes
from stoker.web.ogc.queries import FORM
from stoker.web.ogc.schemas import SCHEMAS
from stoker.web.pages import page_of
from stoker.web.problems import PROBLEM
from stoker.web.routing import Operation, Resource
from stoker.web.site import Site

_NAME = re.compile(r"\{(\w+)\}")
_PATHS = {
    "process": {"type": "string", "description": "the name of a process"},
    "job": {"type": "string", "description": "the id of a job"},
    "output": {"type": "string", "description": "the name of a result"},
}
# The schema of what each operation answers, by status; None: no JSON.
_ANSWERS: Mapping[str, Mapping[int, str | None]] = {
    "GET /": {200: "landingPage"},
    "GET /api": {200: "definition"},
    "GET /conformance": {200: "confClasses"},
    "GET /processes": {200: "processList"},
    "GET /processes/{process}": {200: "process"},
    "POST /processes/{process}/execution": {200: "results", 201: "statusInfo", 204: None},
    "GET /jobs": {200: "jobList"},
    "GET /jobs/{job}": {200: "statusInfo", 304: None},
    "DELETE /jobs/{job}": {200: "statusInfo"},
    "GET /jobs/{job}/results": {200: "results", 204: None},
    "GET /jobs/{job}/results/{output}": {200: None},
    "GET /jobs/{job}/results.zip": {200: None},
    "GET /jobs/{job}/inputs": {200: "inputs"},
    "GET /jobs/{job}/logs": {200: "logs"},
    "GET /jobs/{job}/statistics": {200: "statistics"},
    "GET /jobs/{job}/prov": {200: "prov"},
}
_FAILURES: Mapping[str, tuple[int, ...]] = {
    "POST": (400, 401, 403, 404, 406, 409, 413, 415, 422, 429, 500, 503, 507),
    "DELETE": (400, 401, 403, 404, 503),
    "GET": (400, 401, 403, 404, 406, 410, 500, 503),
}
_HEADERS = {
    "Location": "the address of the job",
    "Link": "the address of the job, with the relation `monitor`",
    "Preference-Applied": "those of the client's preferences that were followed",
}
_SENT = {
    "Prefer": "`respond-async` for an answer at once; `wait=N` for one after N seconds at most",
    "Idempotency-Key": "a request with the same key and body is carried out once within 24 hours",
}


def document(site: Site, resources: Iterable[Resource]) -> dict[str, Any]:
    """Return the definition of these resources."""
    return {
        "openapi": "3.0.3",
        "info": {
            "title": site.settings.name,
            "version": __version__,
            "description": "Pipelines as processes: OGC API - Processes, Part 1, 1.0",
            "license": {"name": "as the project's owner says"},
        },
        "servers": [{"url": site.links.base.rstrip("/")}],
        "tags": [{"name": "processes"}, {"name": "jobs"}, {"name": "service"}],
        "paths": {one.path: _path(one) for one in resources},
        "components": {
            "schemas": SCHEMAS,
            "responses": {
                "problem": {
                    "description": "The reason why the request failed",
                    "content": {
                        media: {"schema": {"$ref": "#/components/schemas/exception"}}
                        for media in (PROBLEM, JSON)
                    },
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _path(resource: Resource) -> dict[str, Any]:
    made: dict[str, Any] = {
        method.lower(): _operation(resource, method, one)
        for method, one in resource.methods.items()
    }
    names = _NAME.findall(resource.path)
    if names:
        made["parameters"] = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": _PATHS[name]["description"],
                "schema": {"type": "string"},
            }
            for name in names
        ]
    return made


def _operation(resource: Resource, method: str, one: Operation) -> dict[str, Any]:
    answers = _ANSWERS[f"{method} {resource.path}"]
    made: dict[str, Any] = {
        "operationId": f"{method.lower()}_{resource.name}",
        "summary": one.summary,
        "tags": [_tag(resource.path)],
        "parameters": [*map(_query, one.query.items()), *(_sent() if method == "POST" else [])],
        "responses": {
            **{str(status): _answer(status, schema, method) for status, schema in answers.items()},
            **{
                str(status): {"$ref": "#/components/responses/problem"}
                for status in _FAILURES[method]
            },
        },
    }
    if one.need is not Need.NOTHING:
        made["security"] = [{"token": []}, *([{}] if one.need is Need.OWN else [])]
    if method == "POST":
        schema = {"$ref": "#/components/schemas/execute"}
        made["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    return made


def _tag(path: str) -> str:
    word = path.split("/")[1]
    return word if word in ("processes", "jobs") else "service"


def _query(pair: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    name, schema = pair
    kept = {word: value for word, value in schema.items() if word != "description"}
    made = {"name": name, "in": "query", "description": schema["description"], "schema": kept}
    return {**made, "style": "form", "explode": False} if schema["type"] == "array" else made


def _sent() -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in _SENT.items()
    ]


def _answer(status: int, schema: str | None, method: str) -> dict[str, Any]:
    made: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if status == 201 or (method == "POST" and status == 200):
        made["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in _HEADERS.items()
        }
    if schema is not None:
        made["content"] = {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
        if method == "GET":
            made["content"][HTML] = {"schema": {"type": "string"}}
    if schema == "definition":
        made["content"][OPENAPI_30] = made["content"][JSON]
    if schema == "results" or (schema is None and status == 200):
        made.setdefault("content", {})["*/*"] = {"schema": {"type": "string", "format": "binary"}}
    return made


async def _get(request: Request) -> Response:
    """Return the definition; as a page it is a list of all operations."""
    is_named = "f" in request.query_params
    form = form_of(request, (JSON, HTML) if is_named else (OPENAPI_30, JSON, HTML))
    whole = document(site_of(request), all_resources())
    if form == HTML:
        return page_of(request, _as_list(whole), title="The API for programs")
    return json_answer(whole, media=OPENAPI_30 if form == OPENAPI_30 else JSON)


def _as_list(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return the operations by method and path, for people."""
    return {
        f"{method.upper()} {path}": {
            "": one["summary"],
            **{query["name"]: query["description"] for query in one["parameters"]},
        }
        for path, methods in whole["paths"].items()
        for method, one in methods.items()
        if method != "parameters"
    }


def all_resources() -> list[Resource]:
    """Return all resources of the standard."""
    return [*landing.RESOURCES, *RESOURCES, *processes.RESOURCES, *jobs.RESOURCES]


RESOURCES = [
    Resource(
        "/api",
        {"GET": Operation(handle=_get, need=Need.NOTHING, summary="This definition", query=FORM)},
        name="api",
    )
]
