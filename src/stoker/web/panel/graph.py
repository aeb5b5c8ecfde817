"""The steps of a pipeline as a drawing: each in the column behind its predecessors, lines between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stoker.web.panel import words

MOST = 80  # steps that are drawn; of more, the table says more than a drawing
WIDTH, HEIGHT = 180, 62  # of a box
_GAP_X, _GAP_Y, _EDGE = 56, 18, 8
_NAME = 22  # characters that fit into a box


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One step: where it is drawn, and its tasks. `is_longest`: most tasks wait here."""

    name: str
    label: str
    x: int
    y: int
    done: int
    total: int
    failed: int
    parts: Sequence[words.Part]
    is_longest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The drawing. `lines` are paths of SVG, from a step to one that follows."""

    boxes: Sequence[Box]
    lines: Sequence[str]
    width: int
    height: int


def graph_of(
    steps: Sequence[tuple[str, Sequence[str]]], tasks: Mapping[str, Mapping[str, int]]
) -> Graph | None:
    """Return the drawing of these steps, each with the names of those before it; None for too many.

    They are in an order in which no step precedes its predecessors. `tasks` are counts by step and state.
    """
    if not 0 < len(steps) <= MOST:
        return None
    column: dict[str, int] = {}
    places: dict[str, tuple[int, int]] = {}
    filled: dict[int, int] = {}
    for name, before in steps:
        column[name] = max((column[one] + 1 for one in before if one in column), default=0)
        row = filled.get(column[name], 0)
        filled[column[name]] = row + 1
        places[name] = (
            _EDGE + column[name] * (WIDTH + _GAP_X),
            _EDGE + row * (HEIGHT + _GAP_Y),
        )
    ready = {name: tasks.get(name, {}).get("ready", 0) for name, _ in steps}
    longest = max(ready, key=lambda name: ready[name])
    return Graph(
        boxes=[
            _box(
                name,
                places[name],
                tasks.get(name, {}),
                is_longest=name == longest and ready[name] > 0,
            )
            for name, _ in steps
        ],
        lines=[_line(places[one], places[name]) for one, name in _drawn(steps)],
        width=2 * _EDGE + len(filled) * WIDTH + (len(filled) - 1) * _GAP_X,
        height=2 * _EDGE + max(filled.values()) * (HEIGHT + _GAP_Y) - _GAP_Y,
    )


def _drawn(steps: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[str, str]]:
    """Return the pairs that are drawn: without those that follow from others, which would hide boxes."""
    earlier: dict[str, set[str]] = {}  # all that precede a step, at any distance
    found = []
    for name, before in steps:
        known = [one for one in before if one in earlier]
        implied = {far for one in known for far in earlier[one]}
        earlier[name] = implied.union(known)
        found += [(one, name) for one in known if one not in implied]
    return found


def _box(name: str, place: tuple[int, int], counts: Mapping[str, int], *, is_longest: bool) -> Box:
    return Box(
        name=name,
        label=name if len(name) <= _NAME else f"{name[: _NAME - 1]}…",
        x=place[0],
        y=place[1],
        done=counts.get("done", 0) + counts.get("skipped", 0),
        total=sum(counts.values()),
        failed=counts.get("failed", 0),
        parts=words.bar(counts, words.TASK_ORDER),
        is_longest=is_longest,
    )


def _line(begin: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = begin[0] + WIDTH, begin[1] + HEIGHT // 2
    x2, y2 = end[0], end[1] + HEIGHT // 2
    middle = (x1 + x2) // 2
    return f"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}"
