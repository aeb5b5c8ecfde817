"""Owns the question of which outputs would be published inside each other, by their templates.

Two templates are compared as texts, so that the same name counts as the same value. Within a pipeline
that is certain: steps of one item have the same values. Items of two pipelines may have different
ones, and values that differ in name may be equal; the store then decides when an output is published.
"""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from stoker.spec.parts import Literal, parse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from stoker.model.pipeline import ErrorFolder, Output, Pipeline, Step
    from stoker.spec.parts import Placeholder

HINT = "publish them at separate paths"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one output is published: `path` has marks in place of values.

    `is_open`: what is published goes into it, under names of its own.
    """

    pipeline: str
    step: str
    output: str
    path: str
    is_open: bool
    is_conditional: bool
    is_error_folder: bool = False
    site: str | None = None  # where it is, if not here


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two outputs of which the first is published inside the second, or both at one path."""

    inner: Place
    outer: Place

    @property
    def is_certain(self) -> bool:
        """Whether both are published for some item."""
        if self.inner.is_error_folder or self.outer.is_error_folder:
            return self.inner.pipeline == self.outer.pipeline
        both_may_not_run = self.inner.is_conditional and self.outer.is_conditional
        is_one_step = self.inner.step == self.outer.step
        return self.inner.pipeline == self.outer.pipeline and (is_one_step or not both_may_not_run)

    @property
    def message(self) -> str:
        """What is wrong, in words."""
        if self.inner.path == self.outer.path and not self.inner.is_open:
            if (self.inner.pipeline, self.inner.step) == (self.outer.pipeline, self.outer.step):
                return f"outputs `{self.outer.output}` and `{self.inner.output}` have one path"
            return f"{self._named(self.inner)} has the path of {self._named(self.outer)}"
        return f"{self._named(self.inner)} is published inside {self._named(self.outer)}"

    def _named(self, place: Place) -> str:
        words = f"output `{place.output}` of step `{place.step}`"
        if place.is_error_folder:
            words = "the error folder"
        is_elsewhere = self.inner.pipeline != self.outer.pipeline
        return f"{words} of pipeline `{place.pipeline}`" if is_elsewhere else words


def find_overlaps(pipelines: Collection[Pipeline]) -> Iterator[Overlap]:
    """Yield the pairs of outputs that overlap; the later of two that have one path is the inner."""
    places = [
        _place(pipeline, step, output)
        for pipeline in pipelines
        for step in pipeline.steps
        for output in step.outputs
    ]
    places += [
        _error_folder(pipeline, pipeline.error_folder)
        for pipeline in pipelines
        if pipeline.error_folder is not None
    ]
    for first, second in combinations(places, 2):
        if _is_inside(second, first):
            yield Overlap(second, first)
        elif _is_inside(first, second):
            yield Overlap(first, second)


def _is_inside(inner: Place, outer: Place) -> bool:
    return (
        not outer.is_open
        and inner.site == outer.site
        and (inner.path == outer.path or inner.path.startswith(outer.path.rstrip("/") + "/"))
    )


def _error_folder(pipeline: Pipeline, spec: ErrorFolder) -> Place:
    return Place(
        pipeline=pipeline.name,
        step="",
        output="error_folder",
        path=_marked(pipeline, spec.to),
        is_open=False,
        is_conditional=True,
        is_error_folder=True,
    )


def _marked(pipeline: Pipeline, template: str) -> str:
    """Return the absolute path with marks in place of values."""
    texts = [part.text if isinstance(part, Literal) else _mark(part) for part in parse(template)]
    return os.path.normpath(os.path.join(pipeline.folder, "".join(texts)))


def _place(pipeline: Pipeline, step: Step, output: Output) -> Place:
    return Place(
        pipeline=pipeline.name,
        step=step.name,
        site=step.site,
        output=output.name,
        path=_marked(pipeline, output.to),
        is_open=output.pick is not None and output.is_folder,
        is_conditional=step.when is not None,
    )


def _mark(part: Placeholder) -> str:
    """Return what no text has and no part of a path, and is the same for the same value."""
    return f"\0{part.name}:{part.separator!r}\0".replace("/", "\1")
