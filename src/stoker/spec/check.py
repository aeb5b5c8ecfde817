"""Checks of a built pipeline that look across it: templates, conditions, pools, secrets, patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoker.model import patterns
from stoker.model.pipeline import ItemKind, Run
from stoker.spec.error_folders import check_error_folder
from stoker.spec.group_checks import check_own
from stoker.spec.names import BadName, Place, resolve
from stoker.spec.overlaps import HINT, find_overlaps
from stoker.spec.parts import Placeholder, parse
from stoker.spec.problems import suggest
from stoker.spec.template import find_mistakes
from stoker.spec.value_tables import check_tables
from stoker.spec.web import check_web

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stoker.model.pipeline import Pipeline, Step
    from stoker.spec.locate import Path
    from stoker.spec.validate import Findings


def check_pipeline(
    pipeline: Pipeline,
    findings: Findings,
    *,
    pools: Mapping[str, int | None] | None,
    secrets: Sequence[str] | None,
) -> None:
    """Report everything in `pipeline` that cannot work.

    `pools` has the number of each pool's slots, None where that is itself wrong. What is None as a
    whole is not known, and nothing is said of it.
    """
    path: Path = ("pipelines", pipeline.name)
    if pipeline.items is ItemKind.GROUPS:
        check_own(pipeline, findings)
    else:
        _check_key(pipeline, path, findings)
    _check_renames(pipeline, path, findings)
    check_error_folder(pipeline, path, findings)
    check_tables(pipeline, path, findings)
    for step in pipeline.steps:
        place = (*path, "steps", step.name)
        _check_templates(pipeline, step, place, findings)
        _check_when(pipeline, step, place, findings)
        if pools is not None:
            _check_pools(step, place, findings, pools)
        if secrets is not None:
            _check_secrets(step, place, findings, secrets)
        _check_patterns(step, place, findings)
        _check_prepare(pipeline, step, place, findings)
    _check_outputs(pipeline, path, findings)
    check_web(pipeline, findings)


def _check_renames(pipeline: Pipeline, path: Path, findings: Findings) -> None:
    steps = {step.name: step for step in pipeline.steps}
    first: dict[str, str] = {}
    for name, step in steps.items():
        old = step.renamed_from
        if old is None:
            continue
        other = first.setdefault(old, name)
        place = (*path, "steps", name, "renamed_from")
        if other != name:
            findings.add(place, f"`{other}` and `{name}` are both renamed from `{old}`")
        elif old in steps and steps[old].renamed_from is None:
            message = f"`{name}` is renamed from `{old}`, which is still a step of this pipeline"
            findings.add(place, message, "take `renamed_from` out, or rename that one too")


def _check_key(pipeline: Pipeline, path: Path, findings: Findings) -> None:
    for part in parse(pipeline.key or ""):
        if isinstance(part, Placeholder):
            try:
                resolve(part.name, pipeline, None, Place.KEY)
            except BadName as bad:
                findings.add((*path, "key"), bad.message, bad.hint)
            else:
                _check_key_is_known(part.name, pipeline, path, findings)


def _check_key_is_known(name: str, pipeline: Pipeline, path: Path, findings: Findings) -> None:
    """Tell of a part of the key that nothing gives before the item is registered."""
    root, _, field = name.partition(".")
    if root != "meta" or any(source.feed is not None for source in pipeline.sources):
        return
    known = {one for source in pipeline.sources for one in source.field_names}
    if field not in known:
        message = f"`{name}` is not known when the key is made: a header is read after that"
        hint = (
            suggest(field, known)
            or "only `fields` of a source, and documents of a feed, come first"
        )
        findings.add((*path, "key"), message, hint)


def _check_templates(pipeline: Pipeline, step: Step, path: Path, findings: Findings) -> None:
    has_fault = isinstance(step.action, Run) and _check_syntax(
        pipeline, step, step.action, path, findings
    )
    for mistake in find_mistakes(pipeline, step):
        if mistake.is_doubt and has_fault:
            continue
        where = (*path, *mistake.path)
        if mistake.path[0] == "outputs" and not findings.is_at((*where, "to")):
            findings.add(where, mistake.message, mistake.hint)
        elif mistake.path == ("run",):
            findings.add(where, mistake.message, mistake.hint, line=mistake.line)
        else:
            findings.add(_own(where, findings), mistake.message, mistake.hint)


def _check_syntax(
    pipeline: Pipeline, step: Step, action: Run, path: Path, findings: Findings
) -> bool:
    """Report what bash itself says against a text; return whether it said something."""
    from stoker.spec.shell import find_syntax_error
    from stoker.spec.template import compile_script

    fault = find_syntax_error(compile_script(pipeline, step, action))
    if fault is None:
        return False
    findings.add((*path, "run"), f"bash cannot read this: {fault[1]}", line=fault[0])
    return True


def _check_when(pipeline: Pipeline, step: Step, path: Path, findings: Findings) -> None:
    if step.when is None:
        return
    from stoker.spec.condition import find_faults

    declared = [param.name for param in pipeline.params]
    steps = [other.name for other in pipeline.steps if other.name != step.name]
    for message, hint in find_faults(step.when, params=declared, steps=steps):
        findings.add((*path, "when"), message, hint)


def _check_pools(
    step: Step, path: Path, findings: Findings, pools: Mapping[str, int | None]
) -> None:
    for name, count in step.pools.items():
        place = _own((*path, "pools", name), findings)
        if name not in pools:
            hint = suggest(name, pools) or f"add it: `[pools]` with `{name} = 1`"
            findings.add(place, f"there is no pool `{name}`", hint)
            continue
        slots = pools[name]
        if slots is not None and count > slots:
            message = f"step `{step.name}` asks for {count} of pool `{name}`, which has {slots}"
            findings.add(place, message, "it could never run")


def _check_secrets(step: Step, path: Path, findings: Findings, secrets: Sequence[str]) -> None:
    for index, name in enumerate(step.secrets):
        if name not in secrets:
            place = _own((*path, "secrets", index), findings)
            hint = suggest(name, secrets) or f'add it: `[secrets]` with `names = ["{name}"]`'
            findings.add(place, f"`{name}` is not a secret of this project", hint)


def _check_patterns(step: Step, path: Path, findings: Findings) -> None:
    for index, marker in enumerate(step.error_markers):
        fault = patterns.fault(marker)
        if fault:
            place = _own((*path, "error_markers", index), findings)
            findings.add(place, f"`{marker}` cannot be used as a pattern: {fault}")
    for index, cause in enumerate(step.causes):
        place = _own((*path, "causes", index), findings)
        for key in ("match", "say"):
            if not getattr(cause, key) and not findings.has(place):
                findings.add(place, f"a cause has no `{key}`")
        fault = patterns.fault(cause.match)
        if fault:
            hint = "write special characters with a backslash before each"
            message = f"`{cause.match}` cannot be used as a pattern: {fault}"
            findings.add((*place, "match"), message, hint)


def _check_prepare(pipeline: Pipeline, step: Step, path: Path, findings: Findings) -> None:
    if step.prepare is None:
        return
    place = _own((*path, "prepare"), findings)
    for part in parse(step.prepare):
        if isinstance(part, Placeholder) and _has_meaning(part.name, pipeline, step):
            message = f"`{{{part.name}}}` has no value in `prepare`, which runs once for many items"
            hint = "write it into the step's command"
            if part.name == "project":
                hint = 'write `"$STOKER_PROJECT"`'
            findings.add(place, message, hint)
            return
    from stoker.spec.shell import find_syntax_error

    fault = find_syntax_error(step.prepare)
    if fault is not None:
        findings.add(place, f"bash cannot read this: {fault[1]}", line=fault[0])


def _has_meaning(name: str, pipeline: Pipeline, step: Step) -> bool:
    try:
        resolve(name, pipeline, step, Place.COMMAND)
    except BadName:
        return False
    return True


def _check_outputs(pipeline: Pipeline, path: Path, findings: Findings) -> None:
    for overlap in find_overlaps([pipeline]):
        place = (*path, "steps", overlap.inner.step, "outputs", overlap.inner.output)
        if overlap.inner.is_error_folder:
            place = (*path, overlap.inner.output)
        if overlap.is_certain and not findings.has(place):
            findings.add(place, overlap.message, HINT)


def _own(path: Path, findings: Findings) -> Path:
    """Return the place of a step's key, which may stand in the defaults of its pipeline."""
    if findings.is_at(path[:5]):
        return path
    defaults = (*path[:2], "defaults", *path[4:])
    return defaults if findings.is_at(defaults[:4]) else path
