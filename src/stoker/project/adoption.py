"""Looking for results that are there already, and adopting them.

What is adopted must look like what an attempt would have published: every output that is not
optional is there, of the right kind, not empty, and not being written just now. A step without
outputs leaves nothing to find, so it is never adopted.
"""

import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from stoker.errors import OutputConflict, UserError
from stoker.model.pipeline import Output, Pipeline, Step
from stoker.model.selection import Selection
from stoker.model.task import Published
from stoker.model.transitions import ADOPT
from stoker.spec.template import Context, StepPlan, compile_step
from stoker.store import adopt as adopting
from stoker.store import repeat, reports
from stoker.store.catalog import catalog
from stoker.store.control import Who
from stoker.store.register import user
from stoker.work.publish import measure

if TYPE_CHECKING:
    from stoker.store.connect import Store
    from stoker.store.rows import TaskRow

SETTLE_S = 10.0  # what changed since may still be being written
_EXAMPLES = 5


@dataclass(slots=True)
class Adopted:
    """What adopting did, or would do.

    `missing` counts tasks of which nothing is there, `refused` those of which something is, but not
    as it must be; `examples` and `messages` are a few.
    """

    adopted: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    refused: int = 0
    examples: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many tasks were adopted."""
        return sum(self.adopted.values())

    def take(self, row: "TaskRow") -> None:
        """Count one adopted task."""
        self.adopted[row.step] = self.adopted.get(row.step, 0) + 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{row.item}: {row.step}")

    def refuse(self, row: "TaskRow", reason: str) -> None:
        """Count one task whose outputs are not as they must be."""
        self.refused += 1
        if len(self.messages) < 4 * _EXAMPLES:
            self.messages.append(f"{row.item}, step {row.step}: {reason}")


class NotThere(Exception):
    """None of a task's outputs is there."""


class NotWhole(Exception):
    """Something is there, but not as an attempt would have published it."""


def adopt(
    store: "Store", selection: Selection, *, reason: str | None = None, dry_run: bool = False
) -> Adopted:
    """Every selected task whose outputs are all there is done; step by step, in their order."""
    done = Adopted()
    who = Who(user(), reason)
    sources = tuple(sorted(state.word for state in ADOPT.sources))
    states = tuple(word for word in selection.states if word in sources) or sources
    with store.reading() as unit:
        steps = [entry.name for entry in catalog(unit).of_pipeline(selection.pipeline or "")]
    wanted = [step for step in steps if not selection.steps or step in selection.steps]
    for step in wanted:
        looker = _Looker(store, step)
        for row in reports.tasks(store, replace(selection, steps=(step,), states=states)):
            try:
                found = looker.find(row)
                if adopting.adopt(store, found, who, dry_run=dry_run):
                    done.take(row)
            except NotThere:
                done.missing += 1
            except (NotWhole, OutputConflict, UserError, OSError) as error:
                done.refuse(row, str(error))
    return done


class _Looker:
    """Looks for the outputs of tasks of one step."""

    def __init__(self, store: "Store", step: str) -> None:
        self._store = store
        self._name = step
        self._plans: dict[str, tuple[Step, StepPlan]] = {}

    def find(self, row: "TaskRow") -> adopting.Found:
        """Return the task's outputs; NotThere, or NotWhole with the reason."""
        claimed, pipeline = repeat.as_claimed(
            self._store, row.item, row.step, pipeline=row.pipeline
        )
        step, plan = self._plan(pipeline)
        if not any(not output.optional for output in step.outputs):
            raise NotThere
        targets = plan.targets(Context(claimed=claimed, scratch=""))
        pieces = dict(_pieces(step, targets))
        there = [path for paths in pieces.values() for path in paths]
        if not there:
            raise NotThere
        for output in step.outputs:
            if not pieces[output.name] and not output.optional:
                raise NotWhole(f"output `{output.name}` is not at `{targets[output.name]}`")
        return adopting.Found(
            task_id=claimed.task_id,
            step_id=self._step_id(row),
            outputs=tuple(
                _measured(name, path) for name, paths in pieces.items() for path in paths
            ),
        )

    def _plan(self, pipeline: Pipeline) -> tuple[Step, StepPlan]:
        if pipeline.name not in self._plans:
            step = pipeline.step(self._name)
            self._plans[pipeline.name] = (step, compile_step(pipeline, step))
        return self._plans[pipeline.name]

    def _step_id(self, row: "TaskRow") -> int:
        with self._store.reading() as unit:
            return catalog(unit).by_name[row.pipeline, row.step].id


def _pieces(step: Step, targets: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Yield for each output the paths that are there."""
    for output in step.outputs:
        target = targets[output.name]
        if output.pick is not None and target.endswith("/"):
            yield output.name, _picked(output, target)
        else:
            path = target.rstrip("/")
            if os.path.lexists(path):
                _check_kind(output, path)
                yield output.name, [path]
            else:
                yield output.name, []


def _picked(output: Output, folder: str) -> list[str]:
    """Return the files in a published folder that the pattern would have picked.

    Only if the folder is the item's own: in one that items share, nobody can tell whose they are.
    """
    if not re.search(r"\{\w", output.to):
        return []
    pattern = os.path.basename(output.pick or "")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if fnmatch(name, pattern)]


def _check_kind(output: Output, path: str) -> None:
    found = os.stat(path)
    wants_folder = output.is_folder and output.pick is None
    if wants_folder != stat.S_ISDIR(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a file"
        raise NotWhole(f"output `{output.name}` at `{path}` is {kind}")


def _measured(name: str, path: str) -> Published:
    """Return the output with its checksum; NotWhole if it is empty, or changes while we look."""
    before = _newest(path)
    if time.time() - before < SETTLE_S:
        raise NotWhole(
            f"output `{name}` at `{path}` was changed within the last {SETTLE_S:.0f} s and may "
            "still be being written; try again in a moment"
        )
    size_bytes, checksum = measure(path)
    if size_bytes == 0:
        raise NotWhole(f"output `{name}` at `{path}` is empty")
    if _newest(path) != before:
        raise NotWhole(f"output `{name}` at `{path}` is being written")
    return Published(name=name, path=path, size_bytes=size_bytes, checksum=checksum)


def _newest(path: str) -> float:
    """Return when a file, or the newest file in a folder, was last changed."""
    newest = os.stat(path).st_mtime
    for folder, _, files in os.walk(path):
        for file in files:
            newest = max(newest, os.lstat(os.path.join(folder, file)).st_mtime)
    return newest
