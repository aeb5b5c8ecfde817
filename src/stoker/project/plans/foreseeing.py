"""Looking ahead, before a changed pipeline is taken over: which of its outputs could not be published."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from stoker.errors import UserError
from stoker.model.id_types import AttemptId, ItemId, TaskId, VersionId
from stoker.model.pipeline import Pipeline, Step
from stoker.model.selection import Selection
from stoker.model.task import Claimed
from stoker.spec.template import compile_step
from stoker.spec.values import Context
from stoker.store.holdings import publications
from stoker.store.reports import lists
from stoker.work.outputs import names_of

if TYPE_CHECKING:
    from stoker.store.orders.versions import VersionChange
    from stoker.store.rows import ItemRow
    from stoker.store.unit import Store

MOST_ITEMS = 1_000  # of each step that are looked at
_EXAMPLES = 3


@dataclass(slots=True)
class Foreseen:
    """How many outputs of a step would be conflicts, among those of so many items; the first in words."""

    pipeline: str
    step: str
    items: int = 0
    conflicts: int = 0
    examples: list[str] = field(default_factory=list)


def foresee(store: "Store", pipeline: Pipeline, change: "VersionChange") -> Iterator[Foreseen]:
    """Yield the steps of which outputs could not be published once the change is made.

    Looked at are steps that are new or changed, and the first items by key. Changes nothing.
    """
    if not change.is_new:
        return
    asked = {*change.tasks_created, *change.bodies_changed}
    steps = [step for step in pipeline.steps if step.name in asked and step.outputs]
    if not steps:
        return
    selection = Selection(pipeline=change.renamed_from or pipeline.name)
    items = list(islice(lists.items(store, selection), MOST_ITEMS))
    for step in steps:
        found = _look(store, pipeline, step, items, change)
        if found.conflicts:
            yield found


def _look(
    store: "Store",
    pipeline: Pipeline,
    step: Step,
    items: "Sequence[ItemRow]",
    change: "VersionChange",
) -> Foreseen:
    found = Foreseen(pipeline.name, step.name, len(items))
    there = [
        (item.item, names_of(path), may_overwrite)
        for item, path, may_overwrite in _targets(pipeline, step, items)
        if os.path.lexists(path)
    ]
    owners = publications.owners(store, {name for _, names, _ in there for name in names})
    kept = {one.name for one in pipeline.steps}
    for key, names, may_overwrite in there:
        owner = next((owners[name] for name in names if name in owners), None)
        if owner is None:
            if may_overwrite:
                continue
            said = f"`{names[0]}` exists and Stoker did not write it"
        else:
            is_same = (owner.pipeline, owner.item) == (change.renamed_from or pipeline.name, key)
            now = change.steps_renamed.get(owner.step, owner.step)
            if is_same and (now == step.name or now not in kept):
                continue  # it is the step's own, or that of a step that is removed
            said = f"`{names[0]}` was published by step `{owner.step}` of `{owner.item}`"
        found.conflicts += 1
        if len(found.examples) < _EXAMPLES:
            found.examples.append(said)
    return found


def _targets(
    pipeline: Pipeline, step: Step, items: "Sequence[ItemRow]"
) -> "Iterator[tuple[ItemRow, str, bool]]":
    """Yield where the step publishes, as far as it can be known, and whether it may overwrite."""
    plan = compile_step(pipeline, step)
    for item in items:
        claimed = Claimed(
            attempt=AttemptId(b""), task_id=TaskId(0), item_id=ItemId(0), version_id=VersionId(0),
            pipeline=pipeline.name, key=item.item, step=step.name, number=1, generation=1, tries=0,
            path=item.path, params=item.params, meta=item.meta, cpus=1, memory_bytes=None,
        )  # fmt: skip
        try:
            targets = plan.targets(Context(claimed=claimed, scratch=""))
        except UserError:
            continue  # it needs what only an attempt has
        for output in step.outputs:
            target = targets[output.name]
            if output.pick is None or not target.endswith("/"):
                yield item, target.rstrip("/"), output.overwrite
