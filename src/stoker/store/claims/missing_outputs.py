"""Outputs that a step reads and its predecessors do not have: they were done by an older version.

Such a task would fail. It is blocked instead, until a predecessor is done again or another version
reads something else; a task that is claimed is the one that is looked at.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stoker.model import transitions
from stoker.model.id_types import VersionId
from stoker.model.states import TaskState
from stoker.spec.parts import outputs_used
from stoker.store.apply import Move, move
from stoker.store.catalog import pipeline_of
from stoker.store.claims.choose import Taken
from stoker.store.holdings.slots import free
from stoker.store.journal import to_json
from stoker.store.renaming import name_then, names_since
from stoker.store.steps import Catalog, StepEntry
from stoker.store.unit import Unit

Versions = Mapping[int, Mapping[str, VersionId]]  # of the done predecessors, by item and step


def without_lacking(
    unit: Unit, known: Catalog, taken: Sequence[Taken], versions: Versions
) -> list[Taken]:
    """Return the tasks that can run; the others are blocked, and hold nothing."""
    good: list[Taken] = []
    moves = []
    for one in taken:
        missing = _missing(unit, known, one.lane.entry, versions.get(one.row.item_id, {}))
        if not missing:
            good.append(one)
            continue
        reason = "; ".join(
            f"`{step}` was done by an older version, without its output `{name}`"
            for step, name in missing
        )
        columns = {"waiting_on": len({step for step, _ in missing}), "reason": reason}
        moves.append(
            Move(
                one.row.task_id, TaskState.READY, one.lane.entry.pipeline, one.row.key,
                one.lane.entry.name, one.row.generation, None, columns, None, to_json({"reason": reason}),
            )
        )  # fmt: skip
    if moves:
        free(unit, [one.attempt for one in taken if one not in good])
        move(unit, transitions.BLOCK, moves)
    return good


def _missing(
    unit: Unit, known: Catalog, entry: StepEntry, versions: Mapping[str, VersionId]
) -> list[tuple[str, str]]:
    """Return the outputs that the step reads and that those versions did not declare."""
    found: list[tuple[str, str]] = []
    for step, version in versions.items():
        if version == known.current[entry.pipeline] or entry.spec is None:
            continue
        key = (entry.id, step, version)
        missing = known.notes.get(key)
        if missing is None:
            used = outputs_used(entry.spec).get(step, frozenset())
            missing = sorted(used - _declared(unit, entry.pipeline, step, version))
            known.notes[key] = missing
        found += [(step, name) for name in missing]
    return found


def _declared(unit: Unit, pipeline: str, step: str, version: VersionId) -> frozenset[str]:
    then = name_then(names_since(unit, version, pipeline), step)
    outputs: Any = pipeline_of(unit, version).step(then).outputs
    return frozenset(output.name for output in outputs)
