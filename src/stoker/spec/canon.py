"""Pipelines as text for the store, and the two hashes of each version.

The *interface* is what other sites and other steps rely on; the *body* is what decides on results.
Resources, limits and words for people are in neither: changing them makes nothing outdated.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from stoker.errors import Bug
from stoker.model.pipeline import Param, Pipeline
from stoker.spec.revive import revive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import TypeAdapter

    from stoker.model.pipeline import Step

INTERFACE = "2:"  # how interfaces are hashed; 1, without a number, knew no sites
_HERE = "\x01"  # begins a text that begins with the pipeline's folder
_FOR_PEOPLE = ("title", "description", "unit", "section", "example")  # words of a parameter
_LATER_RULES = ("max_length", "min_items", "max_items", "media", "rules")  # left out if not given
_STEP_BODY = ("name", "action", "prepare", "outputs", "env", "when", "exits", "error_markers")
_IN_STEP = re.compile(r"(\{in\.)([a-z][a-z0-9_]*)(?=\.)")  # as templates name an earlier step
_OF_STEP = re.compile(r"(\bvalues\.)([a-z][a-z0-9_]*)")  # as conditions do


def dump_pipeline(pipeline: Pipeline) -> str:
    """Return the canonical JSON of a pipeline: sorted keys, defaults left out.

    Paths in its folder are relative to it, so that the same file reads the same in another folder.
    """
    whole = _adapter().dump_python(pipeline, exclude_defaults=True)
    inside = _each_text(whole, lambda text: _relative(text, pipeline.folder))
    return _dump({**inside, "folder": pipeline.folder})


def load_pipeline(text: str) -> Pipeline:
    """Return the pipeline that `dump_pipeline` wrote; Bug if the text is not of its making."""
    try:
        raw = json.loads(text)
        folder = raw["folder"]
        found: Pipeline = revive(Pipeline, _each_text(raw, lambda text: _whole(text, folder)))
    except (ValueError, LookupError, TypeError) as error:
        raise Bug(f"a version of a pipeline in the store cannot be read: {error}") from error
    return found


def is_same(one: str, other: str) -> bool:
    """Whether two texts of pipelines have the same content, wherever each has its folder."""
    return {**json.loads(one), "folder": ""} == {**json.loads(other), "folder": ""}


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """Return the value with every text in it, at any depth, changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _each_text(one, change) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_each_text(one, change) for one in value]
    return value


def _relative(text: str, folder: str) -> str:
    is_inside = text == folder or text.startswith(f"{folder}/")
    return _HERE + text[len(folder) :] if is_inside else text


def _whole(text: str, folder: str) -> str:
    return folder + text[1:] if text.startswith(_HERE) else text


def interface_hash(pipeline: Pipeline) -> str:
    """Return the hash of step names, their order and sites, keys, rules of parameters, output names.

    It begins with the number of this way of making it: hashes of different ways say nothing about
    each other.
    """
    params = [_interface_of(param) for param in pipeline.params]
    results = {result.name: result.of for result in pipeline.results}
    steps = [
        {
            "name": step.name,
            "after": sorted(step.after),
            "site": step.site,
            "outputs": sorted(output.name for output in step.outputs),
        }
        for step in sorted(pipeline.steps, key=lambda step: step.name)
    ]
    return INTERFACE + _hash(
        {
            "name": pipeline.name,
            "items": pipeline.items,
            "key": pipeline.key,
            "params": sorted(params, key=lambda param: param["name"]),
            "steps": steps,
            **({"results": results} if results else {}),
        }
    )


def _interface_of(param: Param) -> dict[str, Any]:
    """Return the rules of a parameter; those that came later count only where they are given.

    So a pipeline that does not use them has the same hash as before there were any.
    """
    rules = {name: one for name, one in asdict(param).items() if name not in _FOR_PEOPLE}
    plain = asdict(Param(name=param.name))
    absent = [name for name in _LATER_RULES if rules[name] == plain[name]]
    return {name: one for name, one in rules.items() if name not in absent} | {"title": ""}


def body_hash(step: Step, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the hash of what decides on the results of a step.

    `names` are steps that have another name, old to new: the hash is that of the step after it.
    """
    whole = asdict(step)
    kind = type(step.action).__name__
    for output in whole["outputs"]:
        del output["media"], output["title"]  # neither changes what is in it
    body = {"kind": kind, **{name: whole[name] for name in _STEP_BODY}}
    if not names:
        return _hash(body)

    def renamed(found: re.Match[str]) -> str:
        return found[1] + names.get(found[2], found[2])

    body["name"] = names.get(step.name, step.name)
    if step.when is not None:
        body["when"] = _OF_STEP.sub(renamed, step.when)
    return _hash_of_text(_IN_STEP.sub(renamed, _dump(body)))


def pipeline_body_hash(pipeline: Pipeline) -> str:
    """Return the hash of what decides on the results of a pipeline."""
    return _hash(sorted(body_hash(step) for step in pipeline.steps))


def _hash(value: Any) -> str:
    return _hash_of_text(_dump(value))


def _hash_of_text(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def _dump(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@functools.cache
def _adapter() -> TypeAdapter[Pipeline]:
    from pydantic import TypeAdapter

    return TypeAdapter(Pipeline)
