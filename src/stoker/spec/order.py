"""The order of steps: none before its predecessors, otherwise as in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stoker.model.pipeline import Step
    from stoker.spec.locate import Path
    from stoker.spec.validate import Findings


def sort_steps(steps: Mapping[str, Step], path: Path, findings: Findings) -> tuple[Step, ...]:
    """Return the steps so that none precedes its predecessors; a cycle is reported by its steps."""
    waiting = dict(steps)
    ordered: list[Step] = []
    done: set[str] = set()
    while waiting:
        free = next((s for s in waiting.values() if done.issuperset(s.after)), None)
        if free is None:
            cycle = _find_cycle(waiting)
            shown = " → ".join(f"`{name}`" for name in [*cycle, cycle[0]])
            place = (*path, "steps", cycle[0], "after")
            findings.add(
                place, f"the steps go round in a circle: {shown}", "each comes after the next"
            )
            for name in cycle:
                waiting_step = waiting.pop(name)
                ordered.append(waiting_step)
                done.add(name)
            continue
        ordered.append(waiting.pop(free.name))
        done.add(free.name)
    return tuple(ordered)


def _find_cycle(waiting: Mapping[str, Step]) -> list[str]:
    """Return a cycle among steps of which none can go first, each followed by one it waits for."""
    name = next(iter(waiting))
    trail: list[str] = []
    while name not in trail:
        trail.append(name)
        name = next(other for other in waiting[name].after if other in waiting)
    cycle = trail[trail.index(name) :]
    start = min(cycle, key=list(waiting).index)
    return cycle[cycle.index(start) :] + cycle[: cycle.index(start)]
