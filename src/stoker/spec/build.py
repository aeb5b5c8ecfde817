"""From the shape of a file to pipelines of the model.

Defaults are merged, paths resolved and steps put in order, and what depends on more than one key is
checked on the way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from stoker.model.pipeline import (
    Cause,
    ItemKind,
    OnChange,
    Output,
    Pipeline,
    Step,
    Verdict,
)
from stoker.model.web import Result
from stoker.spec.actions import ACTIONS, build_action, check_interpreters
from stoker.spec.declared import build_param
from stoker.spec.error_folders import build_error_folder
from stoker.spec.order import sort_steps
from stoker.spec.parts import predecessors, step_texts
from stoker.spec.problems import suggest
from stoker.spec.sources import build_rules, build_source
from stoker.spec.step_keys import RESERVED_STEP_KEYS, StepTable
from stoker.spec.value_tables import build_tables
from stoker.spec.web import build_pipeline_web

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stoker.model.pipeline import Action, Param
    from stoker.model.source import Source
    from stoker.spec.locate import Path
    from stoker.spec.pipeline_keys import PipelineTable
    from stoker.spec.step_keys import OutputTable
    from stoker.spec.validate import Findings

_STEP_KEYS = frozenset((*StepTable.model_fields, *RESERVED_STEP_KEYS))


class Builder:
    """Builds one pipeline and reports what is wrong on the way.

    Always returns one, so that later checks can report more.
    """

    def __init__(
        self, name: str, folder: str, raw: Mapping[str, Any], findings: Findings, *, up: str = ""
    ) -> None:
        self._name = name
        self._folder = folder
        self._up = up
        self._raw = raw
        self._path: Path = ("pipelines", name)
        self._findings = findings

    def build(self, table: PipelineTable) -> Pipeline:
        """Return the pipeline, its steps in an order in which none precedes its predecessors."""
        if not table.steps and not self._findings.has((*self._path, "steps")):
            hint = 'write `[pipelines.NAME.steps.STEP]` and a `run = "…"`'
            self._findings.add(self._path, f"pipeline `{self._name}` has no steps", hint)
        steps = {name: self._step(name, step, table) for name, step in table.steps.items()}
        written = self._raw.get("steps", {})
        check_interpreters(
            self._path, table, written if isinstance(written, dict) else {}, self._findings
        )
        return Pipeline(
            name=self._name,
            folder=self._folder,
            title=table.title,
            description=table.description,
            items=ItemKind(table.items),
            key=table.key,
            on_change=OnChange(table.on_change),
            priority=table.priority,
            params=self._params(table),
            sources=self._sources(table),
            extract=tuple(table.extract) if isinstance(table.extract, list) else table.extract,
            rules=build_rules(
                table.rules,
                items=table.items,
                path=(*self._path, "validate"),
                findings=self._findings,
            ),
            steps=sort_steps(steps, self._path, self._findings),
            web=build_pipeline_web(table.web, self._folder),
            results=tuple(Result(name=name, of=of) for name, of in table.results.items()),
            renamed_from=table.renamed_from,
            error_folder=build_error_folder(table.error_folder, self._path, self._findings),
            up=self._up,
            tables=build_tables(table.tables, self._path, self._folder, self._findings),
        )

    def _params(self, table: PipelineTable) -> tuple[Param, ...]:
        return tuple(
            build_param(
                name,
                param,
                path=(*self._path, "params", name),
                folder=self._folder,
                findings=self._findings,
            )
            for name, param in table.params.items()
        )

    def _sources(self, table: PipelineTable) -> tuple[Source, ...]:
        return tuple(
            build_source(
                name,
                source,
                items=table.items,
                params=table.params,
                path=(*self._path, "sources", name),
                folder=self._folder,
                findings=self._findings,
            )
            for name, source in table.sources.items()
        )

    def _step(self, name: str, table: StepTable, pipeline: PipelineTable) -> Step:
        path = (*self._path, "steps", name)
        merged = _merge_defaults(table, pipeline)
        outputs = merged.outputs.items()
        step = Step(
            name=name,
            action=self._action(path, merged),
            when=merged.when,
            outputs=tuple(self._output((*path, "outputs"), key, out) for key, out in outputs),
            env=merged.env,
            prepare=merged.prepare,
            cpus=merged.cpus,
            memory_bytes=tuple(merged.memory),
            disk_bytes=merged.disk,
            open_files=merged.open_files,
            pools=merged.pools,
            needs=tuple(dict.fromkeys(merged.needs)),
            together=merged.together,
            site=merged.site,
            secrets=tuple(merged.secrets),
            timeout_s=merged.timeout,
            retries=merged.retries,
            backoff_s=merged.backoff,
            exits=self._exits(self._own_or_default(path, "exits"), merged.exits),
            error_markers=tuple(merged.error_markers),
            causes=tuple(Cause(match=c.match, say=c.say, do=c.do) for c in merged.causes),
            renamed_from=table.renamed_from,
        )
        implied = predecessors([*step_texts(step), *_templates_of_values(step)])
        others = [other for other in implied if other in pipeline.steps and other != name]
        after = self._after(path, merged.after, list(pipeline.steps))
        object.__setattr__(step, "after", tuple(dict.fromkeys([*after, *others])))
        return step

    def _own_or_default(self, path: Path, key: str) -> Path:
        """Return where a key of a step stands: in the step, or in the pipeline's defaults."""
        steps = self._raw.get("steps", {})
        step = steps.get(path[-1], {}) if isinstance(steps, dict) else {}
        is_own = isinstance(step, dict) and key in step
        return (*path, key) if is_own else (*self._path, "defaults", key)

    def _after(self, path: Path, after: list[str], steps: list[str]) -> list[str]:
        known: list[str] = []
        for index, name in enumerate(after):
            if name == path[-1]:
                self._findings.add((*path, "after", index), f"step `{name}` comes after itself")
            elif name not in steps:
                others = [step for step in steps if step != path[-1]]
                message = f"`after` names `{name}`, which is not a step of this pipeline"
                self._findings.add((*path, "after", index), message, suggest(name, others))
            else:
                known.append(name)
        return known

    def _action(self, path: Path, table: StepTable) -> Action:
        if all(getattr(table, key) is None for key in ACTIONS) and not self._is_misspelt(path):
            named = ", ".join(f"`{key}`" for key in ACTIONS)
            self._findings.add(path, f"step `{path[-1]}` has no command", f"write one of {named}")
        return build_action(path, table, self._findings, folder=self._folder)

    def _is_misspelt(self, path: Path) -> bool:
        """Whether a key that is wrong in the step at `path` may be the command that it lacks."""
        if any(found == path for found, _ in self._findings.problems):
            return True
        wrong = self._findings.wrong_keys(path)
        return any(key in ACTIONS or key not in _STEP_KEYS for key in wrong)

    def _output(self, path: Path, name: str, table: OutputTable) -> Output:
        path = (*path, name)
        if not table.to and not self._findings.has(path):
            hint = 'write `to = "results/{key}"`'
            self._findings.add(path, f"output `{name}` has no place to be published at", hint)
        pick = table.pick
        if pick is not None and (pick.startswith("/") or ".." in pick.split("/") or not pick):
            message = f"`from` of output `{name}` must stay in the working directory"
            self._findings.add((*path, "from"), message, 'it is a glob such as `"*.log"`')
        return Output(
            name=name,
            to=table.to or name,
            pick=pick,
            optional=table.optional,
            temp=table.temp,
            overwrite=table.overwrite,
            stage_beside=table.stage == "beside",
            media=table.media,
            title=table.title,
        )

    def _exits(self, path: Path, exits: Mapping[str, str]) -> dict[int, Verdict]:
        made: dict[int, Verdict] = {}
        for key, verdict in exits.items():
            found = re.fullmatch(r"(\d{1,3})(?:\s*-\s*(\d{1,3}))?", key, re.ASCII)
            first = int(found[1]) if found else 256
            last = int(found[2] or first) if found else 256
            if not first <= last <= 255:
                hint = "write a number up to 255, or a range such as `10-19`"
                self._findings.add((*path, key), f"`{key}` is not an exit code", hint)
                continue
            for code in range(first, last + 1):
                if code in made and not self._findings.has((*path, key)):
                    self._findings.add((*path, key), f"exit code {code} stands twice")
                made.setdefault(code, Verdict(verdict))
        return made


def _merge_defaults(table: StepTable, pipeline: PipelineTable) -> StepTable:
    """Return the step with what `defaults` say where it says nothing; `env` merges by name."""
    defaults = pipeline.defaults
    missing = defaults.model_fields_set - table.model_fields_set
    update: dict[str, Any] = {key: getattr(defaults, key) for key in missing}
    if "env" in defaults.model_fields_set:
        update["env"] = defaults.env | table.env
    return table.model_copy(update=update) if update else table


def _templates_of_values(step: Step) -> list[str]:
    """Return a template for each step whose values the condition of `step` looks at."""
    if step.when is None:
        return []
    return [f"{{in.{name}.values.x}}" for name in re.findall(r"\bvalues\.([a-z]\w*)", step.when)]
