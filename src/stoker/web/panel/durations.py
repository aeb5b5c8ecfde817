"""Durations of steps as boxes on one logarithmic axis, and their memory against what they ask for."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stoker.web.panel import words
from stoker.web.people.words import size_words

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.store.reports.durations import StepDurations

_LEAST_S = 0.001  # what is shorter is drawn as this
_Place = Callable[[float], float]
_LEAST = 0.6  # per cent: no box is invisible


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One step: its line from the 5th to the 95th percentile, its box and its median, in per cent."""

    step: str
    n: int
    line: tuple[str, str]
    box: tuple[str, str]
    middle: str
    median: str
    most: str
    said: str
    memory: str


def boxes_of(rows: "Sequence[StepDurations]", pipeline: "Pipeline") -> list[Box]:
    """Return the boxes in the order of the pipeline's steps."""
    by_step = {row.step: row for row in rows}
    shown = [by_step[step.name] for step in pipeline.steps if step.name in by_step]
    if not shown:
        return []
    asked: Mapping[str, int] = {
        step.name: max(step.memory_bytes) for step in pipeline.steps if step.memory_bytes
    }
    low = min(_log(row.seconds[0]) for row in shown)
    span = max(max(_log(row.seconds[-1]) for row in shown) - low, 0.1)

    def at(seconds: float) -> float:
        return 2 + 96 * (_log(seconds) - low) / span

    return [_box(row, at, asked.get(row.step)) for row in shown]


def _box(row: "StepDurations", at: _Place, asked: int | None) -> Box:
    p5, p25, p50, p75, p95 = row.seconds
    return Box(
        step=row.step,
        n=row.n,
        line=(f"{at(p5):.2f}%", f"{at(p95):.2f}%"),
        box=(f"{at(p25):.2f}%", f"{max(at(p75) - at(p25), _LEAST):.2f}%"),
        middle=f"{at(p50):.2f}%",
        median=words.span(p50),
        most=words.span(p95),
        said=f"half of the attempts took {words.span(p25)} to {words.span(p75)}, "
        f"nine of ten {words.span(p5)} to {words.span(p95)}",
        memory=_memory(row, asked),
    )


def _memory(row: "StepDurations", asked: int | None) -> str:
    """Return what attempts used of what the step asks for."""
    if row.most_bytes is None:
        return ""
    used = f"{size_words(row.most_bytes)} at most"
    if not asked:
        return used
    return f"{used} of {size_words(asked)} ({100 * row.most_bytes / asked:.0f} %)"


def _log(seconds: float) -> float:
    return math.log(max(seconds, _LEAST_S))
