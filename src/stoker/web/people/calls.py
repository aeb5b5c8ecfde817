"""The same request as the form's, for programs: with curl, in Python, and with `stoker push`."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stoker.model.pipeline import ItemKind, Param, ParamType, Pipeline
from stoker.spec.web import ITEM
from stoker.web.links import Links
from stoker.web.people.fields import Given

_PLACEHOLDERS = {ParamType.INTEGER: 1, ParamType.NUMBER: 1.0, ParamType.BOOLEAN: True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The texts. Each is in two parts around the values, which the page's script keeps up to date."""

    curl: tuple[str, str, str]
    python: tuple[str, str, str]
    push: tuple[str, str, str]


def calls_of(pipeline: Pipeline, given: Given, links: Links, *, is_public: bool) -> Calls:
    """Return the calls that submit what the form has."""
    values = _values(pipeline, given)
    names = file_inputs(pipeline)
    files = {name: _file_name(name, given) for name in names if name in values}
    plain = {name: value for name, value in values.items() if name not in files}
    return Calls(
        curl=_curl(pipeline, plain, files, links, is_public=is_public),
        python=_python(pipeline, plain, files, links, is_public=is_public),
        push=_push(pipeline, plain, files),
    )


def file_inputs(pipeline: Pipeline) -> list[str]:
    """Return the inputs that name files."""
    found = [one.name for one in pipeline.params if ParamType.PATH in (one.type, one.items)]
    return found if pipeline.items is ItemKind.RECORDS else [ITEM, *found]


def _values(pipeline: Pipeline, given: Given) -> dict[str, Any]:
    """Return the values that are given, and something for each input that is required."""
    found: dict[str, Any] = {}
    if pipeline.items is not ItemKind.RECORDS:
        found[ITEM] = given.values.get(ITEM, "")
    for param in pipeline.params:
        if param.name in given.values:
            value = given.values[param.name]
            if value not in (None, [], param.default):
                found[param.name] = value
        elif param.required:
            found[param.name] = pipeline.web.example.get(param.name, _placeholder(param))
    return found


def _placeholder(param: Param) -> Any:
    if param.example is not None:
        return param.example
    if param.choices:
        return param.choices[0]
    return [] if param.type is ParamType.LIST else _PLACEHOLDERS.get(param.type, "…")


def _file_name(name: str, given: Given) -> str:
    value = given.values.get(name, "")
    first = value[0] if isinstance(value, list) and value else value
    return given.names.get(first, "FILE") if isinstance(first, str) else "FILE"


def _curl(
    pipeline: Pipeline,
    plain: Mapping[str, Any],
    files: Mapping[str, str],
    links: Links,
    *,
    is_public: bool,
) -> tuple[str, str, str]:
    token = "" if is_public else ' -H "Authorization: Bearer $STOKER_TOKEN"'
    lines = [
        f"{name}=$(curl -sf{token} -o /dev/null -w '%header{{location}}' \\\n"
        f"    -T {shlex.quote(shown)} {shlex.quote(links.to('uploads') + '/')})\n"
        for name, shown in files.items()
    ]
    references = ", ".join(f'"{name}": "\'"${name}"\'"' for name in files)
    text = _json(plain).replace("'", "'\\''")[1:-1]
    return (
        "".join(lines)
        + f"curl -i{token} -H 'Content-Type: application/json' -H 'Prefer: respond-async' \\\n"
        f"    {shlex.quote(links.to('processes', pipeline.name, 'execution'))} \\\n"
        '    -d \'{"inputs": {',
        text + (", " if text and references else ""),
        references + "}}'",
    )


def _python(
    pipeline: Pipeline,
    plain: Mapping[str, Any],
    files: Mapping[str, str],
    links: Links,
    *,
    is_public: bool,
) -> tuple[str, str, str]:
    signed = '\nheaders["Authorization"] = "Bearer " + os.environ["STOKER_TOKEN"]'
    address = links.to("processes", pipeline.name, "execution")
    uploads = "".join(
        f"inputs[{name!r}] = client.put({links.to('uploads', 'FILE')[:-4] + shown!r}, "
        f"content=open({shown!r}, 'rb')).json()['id']\n"
        for name, shown in files.items()
    )
    before = (
        f"import {'' if is_public else 'os, '}time\n\nimport httpx\n\n"
        'headers = {"Prefer": "respond-async"}'
        + ("" if is_public else signed)
        + "\nclient = httpx.Client(headers=headers)\ninputs = "
    )
    after = (
        f"\n{uploads}"
        f"answer = client.post({address!r}, json={{'inputs': inputs}})\n"
        "job = answer.raise_for_status().headers['Location']\n"
        "while client.get(job).json()['status'] in ('accepted', 'running'):\n"
        "    time.sleep(2)\n"
        "print(client.get(job + '/results?f=json').json())"
    )
    return before, python_literal(plain), after


def _push(
    pipeline: Pipeline, plain: Mapping[str, Any], files: Mapping[str, str]
) -> tuple[str, str, str]:
    item = "KEY" if pipeline.items is ItemKind.RECORDS else shlex.quote(files.get(ITEM, "FILE"))
    named = "".join(
        f" --set {shlex.quote(f'{name}={shown}')}" for name, shown in files.items() if name != ITEM
    )
    return f"stoker push {pipeline.name} {item}", push_words(plain), named


def push_words(plain: Mapping[str, Any]) -> str:
    """Return the values as options of `stoker push`."""
    made = ""
    for name, value in plain.items():
        text = value if isinstance(value, str) else _json(value)
        made += f" --set {shlex.quote(f'{name}={text}')}"
    return made


def python_literal(plain: Mapping[str, Any]) -> str:
    """Return the values as Python writes them."""
    return repr(dict(plain))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
