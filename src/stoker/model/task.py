"""Tasks and attempts as they pass between the store and a worker."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stoker.model.id_types import HERE, AttemptId, ItemId, TaskId, VersionId
from stoker.model.pipeline import Verdict
from stoker.model.sharing import Terms
from stoker.model.states import AttemptState


@dataclass(frozen=True, slots=True, kw_only=True)
class Produced:
    """What a predecessor left: paths by output name (several for a picked folder), and values.

    `left_nothing`: it was skipped for this item, so its outputs and values are empty, and not missing.
    """

    attempt: AttemptId | None
    outputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    left_nothing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A task that a worker holds, with all it needs to start an attempt without asking again."""

    attempt: AttemptId
    task_id: TaskId
    item_id: ItemId
    version_id: VersionId  # the pipeline's version current at the claim
    pipeline: str
    key: str
    step: str
    number: int  # 1 for the task's first attempt
    generation: int
    tries: int  # attempts so far that used up retries
    path: str | None  # the item's absolute path; None for a record
    params: Mapping[str, Any]
    meta: Mapping[str, Any]
    cpus: int
    memory_bytes: int | None
    slots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by pool
    produced: Mapping[str, Produced] = field(default_factory=dict)  # by predecessor step
    claimed_us: int = 0
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One output at its published path. For a folder: the total size and a checksum of the tree."""

    name: str
    path: str  # absolute
    size_bytes: int
    checksum: str  # "xxh3:" and 32 hexadecimal digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a published file or folder holds. `parts`, of a folder only: 8 bytes for each part of it."""

    size_bytes: int
    checksum: str
    parts: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A path at which a task is about to publish, and what it found there.

    `names` are the absolute paths that lead there: as the step has it, and without links. `reach` has
    for each of them what is there of it, itself or a folder above; empty: all of it.
    """

    names: tuple[str, ...]
    content: Content
    found: Content | None = None  # what is there is this, which the task published earlier
    refusal: str | None = None  # what is there is somebody else's, in words
    reach: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A captured stdout or stderr: its text if small, else the file that keeps head and tail."""

    size_bytes: int = 0
    truncated: bool = False
    path: str | None = None
    text: bytes = b""


EMPTY_STREAM = Stream()


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What the store shows of an attempt that is running: its process, and what that executes."""

    attempt: AttemptId
    pid: int
    started_us: int
    command: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How an attempt ended. May be delivered late and twice; the fence decides whether it counts.

    The third and last form of an end: `work.exit.Exit` is what was seen of the process, and
    `work.checks.Ending` what that means. This is both with what was published, as it is recorded.

    Times are microseconds since the epoch, usage is microseconds of processor time.
    """

    attempt: AttemptId
    task_id: TaskId
    state: AttemptState
    verdict: Verdict
    exit_code: int | None = None
    signal: int | None = None
    pid: int | None = None
    started_us: int | None = None
    publishing_us: int | None = None  # when its outputs began to be published
    ended_us: int = 0
    user_us: int = 0
    system_us: int = 0
    max_rss_bytes: int = 0
    command: str | None = None
    stdout: Stream = EMPTY_STREAM
    stderr: Stream = EMPTY_STREAM
    values: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[Published, ...] = ()
    reason: str | None = None  # one line for people
    cause: str | None = None  # what `failures` groups by
    place: int = HERE  # where its outputs are
    is_cut: bool = False  # by the end of a worker that had given it much of its whole time
    node: str | None = None  # of an outpost, where it ran
    error_folder: str | None = None  # where what is left of it is kept, as its task failed with it
