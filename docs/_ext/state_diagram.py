"""Draws the state machine of a task from the table of transitions, as SVG.

Each state is a column and each transition a row: rings where it may start, an arrow where it ends. So
the picture stays readable with any number of transitions, and none can be missing from it.
"""

from collections.abc import Iterable, Sequence
from html import escape

from stoker.model.states import TaskState
from stoker.model.transitions import Transition

LEFT, TOP, COLUMN, ROW = 170, 52, 88, 27


def draw(transitions: Sequence[Transition], title: str) -> str:
    """Return an SVG element with a column for each state and a row for each transition."""
    width = LEFT + COLUMN * len(TaskState)
    height = TOP + ROW * len(transitions) + 14
    parts = [
        (
            f'<svg class="states" viewBox="0 0 {width} {height}" role="img" '
            f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">'
        )
    ]
    parts += [_column(state, height) for state in TaskState]
    parts += [_row(number, transition) for number, transition in enumerate(transitions)]
    return "\n".join([*parts, "</svg>"])


def _x(state: TaskState) -> float:
    return LEFT + COLUMN * (list(TaskState).index(state) + 0.5)


def _column(state: TaskState, height: float) -> str:
    x = _x(state)
    return (
        f'<g class="state"><line x1="{x}" x2="{x}" y1="{TOP - 16}" y2="{height}"/>'
        f'<rect x="{x - 41}" y="10" width="82" height="26" rx="6"/>'
        f'<text x="{x}" y="28">{state.word}</text></g>'
    )


def _row(number: int, transition: Transition) -> str:
    y = TOP + ROW * (number + 0.5)
    end = _x(transition.target)
    starts = sorted(_x(source) for source in transition.sources)
    parts = [f'<text x="12" y="{y + 4}">{escape(transition.name)}</text>']
    parts += [_line(starts[0], end, y)] if starts[0] < end else []
    parts += [_line(starts[-1], end, y)] if starts[-1] > end else []
    parts += [_target(y, end, starts)]
    parts += [f'<circle cx="{x}" cy="{y}" r="4"/>' for x in starts if x != end]
    kind = "change fenced" if transition.fenced else "change"
    return f'<g class="{kind}"><title>{escape(transition.doc)}</title>{"".join(parts)}</g>'


def _line(start: float, end: float, y: float) -> str:
    gap = 8 if start < end else -8
    return f'<line x1="{start}" x2="{end - gap}" y1="{y}" y2="{y}"/>'


def _target(y: float, end: float, starts: Iterable[float]) -> str:
    """Arrow heads from the sides it comes from; a ring too where it may start in its own target."""
    heads = []
    if any(start < end for start in starts):
        heads.append(f'<path d="M{end - 10} {y - 5} L{end - 1} {y} L{end - 10} {y + 5}z"/>')
    if any(start > end for start in starts):
        heads.append(f'<path d="M{end + 10} {y - 5} L{end + 1} {y} L{end + 10} {y + 5}z"/>')
    if end in starts:
        heads.append(f'<circle class="own" cx="{end}" cy="{y}" r="11"/>')
    return "".join(heads)
