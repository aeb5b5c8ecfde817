"""A pipeline as a value: what `stoker.toml` says, checked, completed with defaults and resolved.

`spec` makes these from the file and reads them back from the store's versions; nobody else builds
them. Templates stay text here; `spec.template` knows how to fill them in. Paths are absolute after
resolution against `Pipeline.folder`, sizes are bytes and times are seconds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stoker.model.source import Rules, Source
from stoker.model.web import PipelineWeb, Result

_IN_META = re.compile(r"\bmeta\.([a-z][a-z0-9_]*)")


class ItemKind(StrEnum):
    """What an item of a pipeline is."""

    FILES = "files"
    FOLDERS = "folders"
    RECORDS = "records"  # a key and parameters, without a file
    GROUPS = "groups"  # the items of another pipeline that belong together

    @property
    def has_path(self) -> bool:
        """Whether such an item is a path."""
        return self in (ItemKind.FILES, ItemKind.FOLDERS)


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
    """One declared parameter of an item; `pattern` matches the whole value.

    `rules` are for the file that a path names, and `media` the types that it may have when it comes
    over HTTP: `text/plain`, or `image/*` for a whole kind.
    """

    name: str
    type: ParamType = ParamType.STRING
    items: ParamType = ParamType.STRING  # type of a list's elements
    required: bool = False
    default: Any = None
    pattern: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    max_length: int | None = None  # characters of a text
    min_items: int | None = None
    max_items: int | None = None
    media: tuple[str, ...] = ()
    rules: Rules = field(default_factory=Rules)
    title: str = ""
    description: str = ""
    unit: str = ""
    section: str = ""
    example: Any = None


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
    media: str | None = None  # its media type; None: guessed from the name of the file
    title: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether `to` names a folder."""
        return self.to.endswith("/")


ERROR_FOLDER_BYTES = 10 * 1024**3  # of partial results, unless `max_size` says otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorFolder:
    """The folder that appears for an item when one of its tasks has failed for good (rule E).

    `to` is a template for its path; `picks` are globs in the scratch of the failed attempt.
    """

    to: str
    picks: tuple[str, ...] = ()  # `from` in the file
    max_size_bytes: int = ERROR_FOLDER_BYTES  # of what is picked; the rest is named in a list


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTable:
    """A table of items with their parameters and values, kept current at the absolute path `to`.

    `columns` are names as conditions have them; empty: the key, all parameters, all values. Only items
    for which the condition `where` is true are in it.
    """

    name: str
    to: str
    columns: tuple[str, ...] = ()
    where: str | None = None


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


class Language(StrEnum):
    """The languages of functions that are called in warm processes, beside Python."""

    OCTAVE = "octave"
    MATLAB = "matlab"
    R = "r"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function of another language, called in a warm process that serves many tasks.

    For R it is `file.R:function`; for Octave and MATLAB the function's name, which is its file's.
    """

    language: Language
    function: str
    interpreter: str | None = None  # None: the language's own command


@dataclass(frozen=True, slots=True, kw_only=True)
class Persistent:
    """A program that is started once and gets one task after another as lines of JSON."""

    program: tuple[str, ...]  # templates of names that are the same for all items


Action = Run | Argv | Persistent | Call | Python  # a stored one is the first whose fields it has
Warm = Python | Call | Persistent  # served by processes that stay for further tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One node of a pipeline. `after` holds what it names and what its templates refer to."""

    name: str
    action: Action
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
    site: str | None = None  # the site that alone changes its tasks; None: the store's own
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
    description: str = ""  # CommonMark
    items: ItemKind = ItemKind.FILES
    key: str | None = None  # a template; None: rule K
    on_change: OnChange = OnChange.RERUN
    priority: int = 0  # of its items, unless one has its own; higher first
    params: tuple[Param, ...] = ()
    sources: tuple[Source, ...] = ()
    extract: str | tuple[str, ...] | None = None  # `module:function`, or the words of a command
    rules: Rules = field(default_factory=Rules)
    web: PipelineWeb = field(default_factory=PipelineWeb)
    results: tuple[Result, ...] = ()  # what outsiders get; none: see `model.offer`
    renamed_from: str | None = None  # the pipeline whose items are its own
    error_folder: ErrorFolder | None = None
    tables: tuple[ValueTable, ...] = ()
    up: str = ""  # from `folder` to the folder of `stoker.toml`, where that is another

    @property
    def project_folder(self) -> str:
        """The folder of `stoker.toml`, which may include the file of this pipeline from elsewhere."""
        parts = self.folder.split("/")
        for part in self.up.split("/") if self.up else ():
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        return "/".join(parts) or "/"

    def names_in_meta(self) -> frozenset[str]:
        """Return the names in `meta` that templates and conditions of the pipeline may refer to."""
        return frozenset(_IN_META.findall(repr(self)))

    def step(self, name: str) -> Step:
        """Return the step of that name; KeyError if there is none."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    @property
    def path_params(self) -> tuple[str, ...]:
        """Names of the parameters whose values are paths, or lists of them."""
        return tuple(one.name for one in self.params if ParamType.PATH in (one.type, one.items))

    @property
    def takes_files(self) -> bool:
        """Whether an item of it, or a parameter of one, is a file or a folder."""
        return self.items is not ItemKind.RECORDS or bool(self.path_params)

    def successors(self, name: str) -> tuple[str, ...]:
        """Names of the steps that come directly after step `name`."""
        return tuple(step.name for step in self.steps if name in step.after)
