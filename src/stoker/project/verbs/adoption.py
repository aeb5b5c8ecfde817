"""Looking for results that are there already, and adopting them.

What is adopted must look like what an attempt would have published: every output that is not
optional is there, of the right kind, not empty, and not being written just now. A step without
outputs leaves nothing to find, so it is never adopted.

Files whose names the tool chose (`from`) are the item's if they are in a folder of its own. In one
that items share, only those are that the pattern gives with the item's name in place of its `*`;
an optional output of which there are none is left out, and that is reported.
"""

import os
import re
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from stoker.errors import NotFound, OutputConflict, UserError
from stoker.model.pipeline import Output, Pipeline
from stoker.model.selection import Selection
from stoker.model.task import Claimed, Content, Published, Wanted
from stoker.model.transitions import ADOPT
from stoker.project.verbs.key_lists import read_list
from stoker.spec.names import split_suffix
from stoker.spec.problems import suggest
from stoker.spec.template import compile_step
from stoker.spec.values import Context
from stoker.store.actor import Actor
from stoker.store.catalog import catalog
from stoker.store.orders import adopt as adopting
from stoker.store.reports import lists, reproduction
from stoker.work.measure import NotPlain, measure
from stoker.work.outputs import names_of

if TYPE_CHECKING:
    from stoker.store.rows import TaskRow
    from stoker.store.unit import Store

SETTLE_S = 10.0  # what changed since may still be being written
_EXAMPLES = 5


@dataclass(slots=True)
class Adopted:
    """What adopting did, or would do.

    `missing` counts tasks of which nothing is there, `refused` those of which something is, but not
    as it must be; `examples` and `messages` are a few. `without` counts, by step and output, adopted
    tasks of which an optional output may be there, but cannot be distinguished from other items'; `bare` counts
    those that were adopted without any output, `unknown` the listed names that no item has.
    """

    adopted: dict[str, int] = field(default_factory=dict)
    bare: int = 0
    without: dict[str, dict[str, int]] = field(default_factory=dict)
    missing: int = 0
    refused: int = 0
    unknown: int = 0
    examples: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many tasks were adopted."""
        return sum(self.adopted.values())

    def take(self, row: "TaskRow", left_out: Iterable[str] = ()) -> None:
        """Count one adopted task, and the outputs that were left out."""
        self.adopted[row.step] = self.adopted.get(row.step, 0) + 1
        for name in left_out:
            counts = self.without.setdefault(row.step, {})
            counts[name] = counts.get(name, 0) + 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{row.item}: {row.step}")

    def refuse(self, row: "TaskRow", reason: str) -> None:
        """Count one task whose outputs are not as they must be."""
        self.refused += 1
        if len(self.messages) < 4 * _EXAMPLES:
            self.messages.append(f"{row.item}, step {row.step}: {reason}")


class NotThere(Exception):
    """None of the task's outputs exists."""


class NotWhole(Exception):
    """Something is there, but not as an attempt would have published it."""


def adopt(
    store: "Store",
    pipeline: Pipeline,
    selection: Selection,
    actor: Actor,
    *,
    without_outputs: bool = False,
    dry_run: bool = False,
    done: Adopted | None = None,
) -> Adopted:
    """Every selected task whose outputs are all there is done; step by step, in their order.

    With `without_outputs`, so is one that has none of them. Where they would be is what `pipeline`
    says, which a dry run may have from a file that the store has not taken over; its new steps have
    no tasks yet. What happens is added to `done`.
    """
    done = done or Adopted()
    sources = tuple(sorted(state.word for state in ADOPT.sources))
    states = tuple(word for word in selection.states if word in sources) or sources
    names = [step.name for step in pipeline.steps]
    for wanted in selection.steps:
        if wanted not in names:
            raise NotFound(f"`{pipeline.name}` has no step `{wanted}`; {suggest(wanted, names)}")
    with store.reading() as unit:
        known = {entry.name for entry in catalog(unit).of_pipeline(pipeline.name)}
    for step in names:
        if step not in known or (selection.steps and step not in selection.steps):
            continue
        looker = _Looker(store, pipeline, step)
        for row in lists.tasks(store, replace(selection, steps=(step,), states=states)):
            try:
                found, left_out = looker.find(row, without_outputs=without_outputs)
                if adopting.adopt(store, found, actor, dry_run=dry_run):
                    done.take(row, left_out)
                    done.bare += not found.outputs
            except NotThere:
                done.missing += 1
            except (NotWhole, OutputConflict, UserError, OSError) as error:
                done.refuse(row, str(error))
    return done


def adopt_listed(
    store: "Store",
    pipeline: Pipeline,
    selection: Selection,
    actor: Actor,
    *,
    name: str,
    nul: bool,
    **how: bool,
) -> Adopted:
    """What `adopt` does, with those of the selected tasks whose items the list called `name` names."""
    found = read_list(store, selection, name=name, nul=nul)
    done = Adopted(unknown=found.unknown_count, messages=list(found.unknown))
    for some in found.selections(selection):
        adopt(store, pipeline, some, actor, done=done, **how)
    return done


class _Looker:
    """Looks for the outputs of tasks of one step."""

    def __init__(self, store: "Store", pipeline: Pipeline, step: str) -> None:
        self._store = store
        self._pipeline = pipeline
        self._step = pipeline.step(step)
        self._plan = compile_step(pipeline, self._step)
        self._in_use: dict[
            str, bool
        ] = {}  # pattern in a shared folder -> whether any file is like it

    def find(self, row: "TaskRow", *, without_outputs: bool) -> tuple[adopting.Found, list[str]]:
        """Return the task's outputs, and those left out; NotThere, or NotWhole with the reason.

        With `without_outputs`, a task of which no output exists has none.
        """
        claimed, _ = reproduction.as_claimed(self._store, row.item, row.step, pipeline=row.pipeline)
        try:
            return self._outputs(row, claimed)
        except NotThere:
            if not without_outputs:
                raise
            step_id = self._step_id(row)
            return adopting.Found(
                task_id=claimed.task_id, step_id=step_id, outputs=(), wanted=()
            ), []

    def _outputs(self, row: "TaskRow", claimed: Claimed) -> tuple[adopting.Found, list[str]]:
        pipeline, step, plan = self._pipeline, self._step, self._plan
        if not any(not output.optional for output in step.outputs):
            raise NotThere
        targets = plan.targets(Context(claimed=claimed, scratch=""))
        names = _names_of(claimed)
        pieces = {
            output.name: self._pieces(pipeline, output, targets[output.name], names)
            for output in step.outputs
        }
        if not any(pieces.values()):
            raise NotThere
        left_out = []
        for output in step.outputs:
            if pieces[output.name]:
                continue
            if not output.optional:
                raise NotWhole(_absence(pipeline, output, targets[output.name], names))
            if _is_shared(pipeline, output) and self._is_in_use(output, targets[output.name]):
                left_out.append(output.name)
        named = [(name, path) for name, paths in pieces.items() for path in paths]
        contents = [_measured(name, path) for name, path in named]
        found = adopting.Found(
            task_id=claimed.task_id,
            step_id=self._step_id(row),
            outputs=tuple(
                Published(name=name, path=path, size_bytes=one.size_bytes, checksum=one.checksum)
                for (name, path), one in zip(named, contents, strict=True)
            ),
            wanted=tuple(
                Wanted(names=names_of(path), content=one, found=one)
                for (_, path), one in zip(named, contents, strict=True)
            ),
        )
        return found, left_out

    def _step_id(self, row: "TaskRow") -> int:
        with self._store.reading() as unit:
            return catalog(unit).by_name[row.pipeline, row.step].id

    def _pieces(
        self, pipeline: Pipeline, output: Output, target: str, names: set[str]
    ) -> list[str]:
        """Return the paths of this output that are there."""
        if output.pick is None or not target.endswith("/"):
            path = target.rstrip("/")
            if not os.path.lexists(path):
                return []
            _check_kind(output, path)
            return [path]
        if _is_shared(pipeline, output):
            named = (os.path.join(target, name) for name in _named(output, names))
            return sorted(path for path in named if os.path.lexists(path))
        return _like(output, target)

    def _is_in_use(self, output: Output, folder: str) -> bool:
        """Whether there is a file in the shared folder that some item's attempt may have left."""
        pattern = os.path.join(folder, os.path.basename(output.pick or ""))
        if pattern not in self._in_use:
            self._in_use[pattern] = bool(_like(output, folder))
        return self._in_use[pattern]


def _like(output: Output, folder: str) -> list[str]:
    """Return the files in a published folder that the output's pattern would have picked."""
    pattern = os.path.basename(output.pick or "")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if fnmatch(name, pattern)]


def _is_shared(pipeline: Pipeline, output: Output) -> bool:
    """Whether items of the pipeline publish what was picked into one folder."""
    if output.pick is None or not output.is_folder:
        return False
    used = set(_REFERENCE.findall(output.to))
    of_key = set(_REFERENCE.findall(pipeline.key or ""))
    return not (used & _OWN or (of_key and of_key <= used))


_REFERENCE = re.compile(r"(?<![{$])\{([a-z][\w.]*)")
_OWN = frozenset({"key", "name", "stem", "item"})  # in a folder's name they make it an item's own


def _names_of(claimed: Claimed) -> set[str]:
    """Return the item's name, and that without its suffix."""
    name = (claimed.path or claimed.key).rpartition("/")[2]
    return {name, split_suffix(name)[0]}


def _named(output: Output, names: set[str]) -> list[str]:
    """Return what the pattern gives with each name in place of its only wildcard."""
    pattern = os.path.basename(output.pick or "")
    if pattern.count("*") != 1 or re.search(r"[?[]", pattern):
        return []
    return [pattern.replace("*", name) for name in sorted(names, key=len)]


def _absence(pipeline: Pipeline, output: Output, target: str, names: set[str]) -> str:
    """Return why an output that has to be there was not found."""
    if not _is_shared(pipeline, output):
        return f"output `{output.name}` is not at `{target}`"
    wanted = " or ".join(f"`{name}`" for name in _named(output, names))
    return (
        f"output `{output.name}` cannot be found: items share `{target}`, and there is no "
        f"{wanted or 'telling whose a file is'}; with `optional = true` the rest can be adopted"
    )


def _check_kind(output: Output, path: str) -> None:
    found = os.stat(path)
    wants_folder = output.is_folder and output.pick is None
    if wants_folder != stat.S_ISDIR(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a file"
        raise NotWhole(f"output `{output.name}` at `{path}` is {kind}")


def _measured(name: str, path: str) -> Content:
    """Return what the output holds; NotWhole if it is empty, or changes while we look."""
    before = _newest(path)
    if time.time() - before < SETTLE_S:
        raise NotWhole(
            f"output `{name}` at `{path}` was changed within the last {SETTLE_S:.0f} s and may "
            "still be being written; try again in a moment"
        )
    try:
        content = measure(os.path.realpath(path))
    except NotPlain as problem:
        raise NotWhole(f"output `{name}` at `{path}` cannot be adopted: {problem}") from None
    if content.size_bytes == 0:
        raise NotWhole(f"output `{name}` at `{path}` is empty")
    if _newest(path) != before:
        raise NotWhole(f"output `{name}` at `{path}` is being written")
    return content


def _newest(path: str) -> float:
    """Return when a file, or the newest file in a folder, was last changed."""
    newest = os.stat(path).st_mtime
    for folder, _, files in os.walk(path):
        for file in files:
            newest = max(newest, os.lstat(os.path.join(folder, file)).st_mtime)
    return newest
