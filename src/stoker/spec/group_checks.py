"""Checks of pipelines of groups against the pipelines that they follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoker.spec.condition import find_faults
from stoker.spec.group_sources import OF_TIME, key_names, names_in
from stoker.spec.member_names import VALUES, lists_used
from stoker.spec.names import BadName, Place, resolve
from stoker.spec.problems import Problem, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stoker.model.pipeline import Pipeline, Step
    from stoker.model.source import Group
    from stoker.spec.locate import Path
    from stoker.spec.validate import Findings

_OUTPUT_WORDS = 3  # of `outputs.STEP.NAME`
_KNOWN_BEFORE = ("key", "params", "meta")  # what a condition on members may look at


def check_groups(
    pipelines: Mapping[str, Pipeline],
    places: Mapping[str, Findings],
    broken: Iterable[str],
    main: Findings,
) -> list[tuple[str, Problem]]:
    """Report groups of what is not there, of themselves, or in a circle, and names without meaning.

    `places` has for each pipeline where its problems go. Those that do not go to `main` are returned,
    with the pipeline: they are of included files, and disable it.
    """
    known = frozenset((*pipelines, *broken))
    others: list[tuple[str, Problem]] = []
    for name, pipeline in pipelines.items():
        findings = places[name]
        before = len(findings.problems)
        for source in pipeline.sources:
            if source.group is not None:
                _Check(pipelines, pipeline, source.group, source.name, findings).run(known)
        if findings is not main:
            others += [(name, problem) for _, problem in findings.problems[before:]]
    return others


class _Check:
    """The check of one source of groups."""

    def __init__(
        self,
        pipelines: Mapping[str, Pipeline],
        pipeline: Pipeline,
        group: Group,
        source: str,
        findings: Findings,
    ) -> None:
        self._pipelines = pipelines
        self._pipeline = pipeline
        self._group = group
        self._path: Path = ("pipelines", pipeline.name, "sources", source)
        self._findings = findings

    def run(self, known: frozenset[str]) -> None:
        """Report everything that is wrong with it."""
        group, name = self._group, self._pipeline.name
        if group.pipeline == name:
            self._add("pipeline", f"`{name}` cannot be a group of its own items")
            return
        if group.pipeline not in known:
            hint = suggest(group.pipeline, sorted(known - {name}))
            self._add("pipeline", f"there is no pipeline `{group.pipeline}`", hint)
            return
        circle = self._circle()
        if circle:
            self._add("pipeline", f"these pipelines follow each other in a circle: {circle}")
            return
        followed = self._pipelines.get(group.pipeline)
        if followed is not None:  # else it is broken, and says so itself
            self._check_against(followed)

    def _circle(self) -> str:
        """Return the pipelines that lead from this one to itself, if any do."""
        todo, seen = [(self._pipeline.name, self._pipeline.name)], set()
        while todo:
            name, way = todo.pop()
            found = self._pipelines.get(name)
            for source in found.sources if found is not None else ():
                if source.group is None or (name, source.group.pipeline) in seen:
                    continue
                seen.add((name, source.group.pipeline))
                longer = f"{way} → {source.group.pipeline}"
                if source.group.pipeline == self._pipeline.name:
                    return longer
                todo.append((source.group.pipeline, longer))
        return ""

    def _check_against(self, followed: Pipeline) -> None:
        group = self._group
        steps = {step.name: step for step in followed.steps}
        if group.step is not None and group.step not in steps:
            hint = suggest(group.step, steps)
            self._add("step", f"pipeline `{followed.name}` has no step `{group.step}`", hint)
        for name in names_in(group.by):
            if name not in OF_TIME:
                self._check_name("group_by", name, followed)
        for name in names_in(group.count) if isinstance(group.count, str) else ():
            self._check_name("count", name, followed)
        self._check_where(followed)
        self._check_outputs(steps)

    def _check_where(self, followed: Pipeline) -> None:
        where = self._group.where
        if where is not None:
            params = [param.name for param in followed.params]
            for message, hint in find_faults(
                where, params=params, steps=(), word="where", roots=_KNOWN_BEFORE
            ):
                self._add("where", message, hint)

    def _check_outputs(self, steps: Mapping[str, Step]) -> None:
        """Report outputs of members that are not there, in `pack` and in the steps of the group."""
        for index, name in enumerate(self._group.pack):
            words = name.split(".")
            if len(words) == _OUTPUT_WORDS:
                place = (*self._path, "pack", index)
                self._check_output(place, words[1], words[2], steps)
                self._check_order(place, words[1], steps)
        for own in self._pipeline.steps:
            place = ("pipelines", self._pipeline.name, "steps", own.name)
            for before, output in lists_used(own):
                self._check_output(place, before, output, steps)
                self._check_site(place, own, before, output, steps)

    def _check_site(
        self, place: Path, own: Step, before: str, output: str, steps: Mapping[str, Step]
    ) -> None:
        """Report a list of files that are not where the step runs that reads it."""
        made = steps.get(before)
        if made is None or output == VALUES or made.site == own.site:
            return
        where = "here" if made.site is None else f"at `{made.site}`"
        name = f"`{{members.{before}.{output}}}`"
        message = f"the files of {name} are {where}, and step `{own.name}` does not run there"
        hint = "bring them over by a step with `stoker transfer`, or let the step run there"
        self._findings.add(place, message, hint)

    def _check_order(self, place: Path, packed: str, steps: Mapping[str, Step]) -> None:
        """Report a packed step that may not be over yet when a member counts."""
        last = self._group.step
        if last is None or last not in steps or packed not in steps:
            return
        todo, before = [last], set[str]()
        while todo:
            name = todo.pop()
            before.add(name)
            todo += [one for one in steps[name].after if one in steps and one not in before]
        if packed not in before:
            message = (
                f"a member counts once `{last}` is over, and `{packed}` does not come before it"
            )
            self._findings.add(place, message, f"leave `step` out, or let it be `{packed}`")

    def _check_name(self, key: str, name: str, followed: Pipeline) -> None:
        try:
            resolve(name, followed, None, Place.KEY)
        except BadName as bad:
            names = "`{meta.NAME}`, `{params.NAME}`, `{day}`, `{month}`, `{key}` and `{name}`"
            self._add(key, bad.message, bad.hint or f"there are {names}")

    def _check_output(self, place: Path, step: str, output: str, steps: Mapping[str, Step]) -> None:
        what = f"pipeline `{self._group.pipeline}`"
        if step not in steps:
            self._findings.add(place, f"{what} has no step `{step}`", suggest(step, steps))
            return
        outputs = [one.name for one in steps[step].outputs]
        if output not in outputs and output != VALUES:
            hint = suggest(output, outputs) or f"give `{step}` such an output"
            self._findings.add(place, f"step `{step}` of {what} has no output `{output}`", hint)

    def _add(self, key: str, message: str, hint: str = "") -> None:
        self._findings.add((*self._path, key), message, hint)


def check_own(pipeline: Pipeline, findings: Findings) -> None:
    """Report what is wrong with a pipeline of groups by itself: its source, key, parameters."""
    path: Path = ("pipelines", pipeline.name)
    if len(pipeline.sources) != 1 and not findings.has((*path, "sources")):
        message = "a pipeline of groups has one source: the pipeline whose items it gathers"
        findings.add(path, message, 'write `[pipelines.NAME.sources.members]` and `pipeline = "…"`')
    allowed = key_names(pipeline)
    names = names_in(pipeline.key or "")
    wrong = [name for name in names if name not in allowed]
    if wrong:
        hint = f"what may stand here: `{{{allowed[0]}}}`"
        findings.add((*path, "key"), f"`{{{wrong[0]}}}` is not known here", hint)
    elif pipeline.key is not None and not names:
        hint = f"write `{{{allowed[0]}}}` into it"
        findings.add((*path, "key"), "every group would have the same key", hint)
    for param in pipeline.params:
        if param.required:
            message = f"nothing gives a group its parameters, and `{param.name}` is required"
            findings.add((*path, "params", param.name), message, "give it a default")
    if pipeline.extract is not None:
        findings.add((*path, "extract"), "a group has no header; its members have")
