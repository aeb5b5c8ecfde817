"""A pipeline as a value: what `stoker.toml` says, checked, completed with defaults and resolved.

`spec` makes these from the file and reads them back from the store's versions; nobody else builds
them. Templates stay text here; `spec.template` knows how to fill them in. Paths are absolute after
resolution against `Pipeline.folder`, sizes are bytes and times are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stoker.model.source import Rules, Source


class ItemKind(StrEnum):
    """What an item of a pipeline is."""

    FILES = "files"
    FOLDERS = "folders"
    RECORDS = "records"  # a key and parameters, without a file


class OnChange(StrEnum):
    """What happens when a known key comes with new content."""

    RERUN = "rerun"
    IGNORE = "ignore"
    FAIL = "fail"


class ParamType(StrEnum):
    """The types that a parameter may have."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    PATH = "path"
    CHOICE = "choice"


class Verdict(StrEnum):
    """What an exit code means for the task."""

    DONE = "done"
    SKIP = "skip"  # nothing to do for this item here; successors go on
    STOP = "stop"  # done, and nothing that follows in this item is needed
    LATER = "later"  # not now: again after a back-off, without using up a retry
    RETRY = "retry"  # failed; again after a back-off while retries are left (any other code)
    FAIL = "fail"  # failed for good, whatever retries are left


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One declared parameter of an item; `pattern` matches the whole value."""

    name: str
    type: ParamType = ParamType.STRING
    items: ParamType = ParamType.STRING  # type of a list's elements
    required: bool = False
    default: Any = None
    pattern: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output of a step: where it comes from in scratch and where it is published.

    Without `pick` the tool writes to the path that `{out.NAME}` gives. With it, what the pattern
    matches in scratch after the end is taken. `to` is a template for the published path; a trailing
    slash makes it a folder: the output itself (without `pick`), or what the picked files go into.
    """

    name: str
    to: str
    pick: str | None = None  # `from` in the file: a glob, relative to scratch
    optional: bool = False
    temp: bool = False  # deleted when its last successor is done
    overwrite: bool = False  # may replace a file that Stoker did not write
    stage_beside: bool = False  # written hidden on the target's file system, then renamed

    @property
    def is_folder(self) -> bool:
        """Whether `to` names a folder."""
        return self.to.endswith("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A known failure in the users' own words: what it looks like, what it means, what to do."""

    match: str
    say: str
    do: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A shell text, run by `bash -euo pipefail`."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Argv:
    """A command without a shell; a nested group of words vanishes when a value in it is empty."""

    words: tuple[str | tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """A function `module:function`, called in a warm process that serves many tasks."""

    function: str
    interpreter: str | None = None  # None: the interpreter that Stoker itself runs under


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One node of a pipeline. `after` holds what it names and what its templates refer to."""

    name: str
    action: Run | Argv | Python
    after: tuple[str, ...] = ()
    when: str | None = None  # a CEL condition
    outputs: tuple[Output, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)  # values are templates
    prepare: str | None = None
    cpus: int = 1
    memory_bytes: tuple[int, ...] = ()  # one level, or several that retries climb; empty: no limit
    disk_bytes: int | None = None  # what its scratch may hold
    open_files: int | None = None  # that a process may have at a time; None: as the worker's own
    pools: Mapping[str, int] = field(default_factory=dict)
    needs: tuple[str, ...] = ()  # tags that a worker must have
    together: str | None = None  # an item's steps of this name stay on one host
    secrets: tuple[str, ...] = ()
    timeout_s: float | None = None
    retries: int = 0
    backoff_s: float = 10.0  # before the first retry; doubles with each
    exits: Mapping[int, Verdict] = field(default_factory=dict)
    error_markers: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    renamed_from: str | None = None  # the step whose tasks, history and outputs are its own

    def output(self, name: str) -> Output:
        """Return the output of that name; KeyError if there is none."""
        for output in self.outputs:
            if output.name == name:
                return output
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A named graph of steps; `steps` are in an order in which no step precedes its predecessors.

    `folder` is the absolute folder of the file that declared it: relative paths and python modules
    are looked up there. It is not part of the hashes, so that a project may move.
    """

    name: str
    folder: str
    steps: tuple[Step, ...]
    title: str = ""
    items: ItemKind = ItemKind.FILES
    key: str | None = None  # a template; None: rule K
    on_change: OnChange = OnChange.RERUN
    priority: int = 0  # of its items, unless one has its own; higher first
    params: tuple[Param, ...] = ()
    sources: tuple[Source, ...] = ()
    extract: str | tuple[str, ...] | None = None  # `module:function`, or the words of a command
    rules: Rules = field(default_factory=Rules)
    renamed_from: str | None = None  # the pipeline whose items are its own

    def step(self, name: str) -> Step:
        """Return the step of that name; KeyError if there is none."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def successors(self, name: str) -> tuple[str, ...]:
        """Names of the steps that come directly after step `name`."""
        return tuple(step.name for step in self.steps if name in step.after)
