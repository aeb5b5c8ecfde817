"""What reading verbs return: plain frozen dataclasses, and lists of them that data frames take.

Field names are those of the JSON of the command line. Times are aware `datetime`s in UTC, states are
words, paths are text in which surrogate escapes stand for bytes that are no UTF-8.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from stoker.model.encoding import Answer

Row = TypeVar("Row")


class Rows(list[Row], Generic[Row]):
    """Rows in order; `pandas.DataFrame(rows)` and `polars.DataFrame(rows)` take it as it is."""

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries."""
        return [dataclasses.asdict(row) for row in self]  # type: ignore[call-overload]  # every kind of row is a dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """Some rows of a list in its order; `next` begins the page behind them, None after the last one.

    Where a selection is asked of each row, a page may have few rows, or none, and not be the last.
    """

    rows: Rows[Row]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow(Answer):
    """One item. `item` is its key."""

    pipeline: str
    item: str
    state: str
    path: str | None
    params: Mapping[str, Any]
    meta: Mapping[str, Any]
    size_bytes: int | None
    modified_at: datetime | None
    priority: int
    by: str
    registered_at: datetime
    generation: int
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow(Answer):
    """One task. `attempts` counts them; `expected_s` is how long one may take, by size and history.

    `cut_off` is how often the end of a worker's time cut it off, though it had had much of that time.
    """

    pipeline: str
    item: str
    step: str
    state: str
    attempts: int
    expected_s: float | None
    priority: int
    not_before: datetime | None
    reason: str | None
    cut_off: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRow(Answer):
    """What is kept of a stream; `path` is None where the text is in the store."""

    size_bytes: int
    truncated: bool
    path: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRow(Answer):
    """One published output."""

    name: str
    path: str
    size_bytes: int
    checksum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow(Answer):
    """One attempt; `item` is the key of its item, `worker` its worker's name."""

    id: str
    kind: str
    pipeline: str
    item: str
    step: str
    number: int
    state: str
    site: str
    worker: str | None
    host: str | None
    pid: int | None
    batch_id: str | None
    command: str | None
    claimed_at: datetime
    started_at: datetime | None
    publishing_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    signal: int | None
    user_s: float | None
    system_s: float | None
    max_rss_bytes: int | None
    stdout: StreamRow
    stderr: StreamRow
    outputs: tuple[OutputRow, ...]
    values: Mapping[str, Any]
    reason: str | None
    pipeline_version: int

    @property
    def elapsed_s(self) -> float | None:
        """How long it ran, publishing included; None if it has not started or not ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()

    @property
    def publishing_s(self) -> float | None:
        """How long its outputs took to be published; None if they were not, or it has not ended."""
        if self.publishing_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.publishing_at).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineStatus(Answer):
    """How many items and tasks of a pipeline stand where; every state is there, also with 0.

    `outdated` counts done tasks whose step has changed since. `eta_s` is None where nothing is left
    to do, no worker runs, or nothing is known of how long the steps take; in eight of ten cases the
    end comes within `eta_interval_s`.
    """

    items: Mapping[str, int]
    tasks: Mapping[str, int]
    steps: Mapping[str, Mapping[str, int]]
    outdated: int
    eta_s: float | None
    eta_interval_s: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus(Answer):
    """A pool's slots, and how many of them are held.

    `hosts` has both for each host, of a pool per host. `opens_at` is None within its hours.
    """

    slots: int
    used: int
    hosts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    opens_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow(Answer):
    """One start of a worker. `running` counts the attempts it holds.

    `batch_id` is its batch job, as `CLUSTER:JOB.RESTART`; by `ends_at` it will be gone.

    `trouble` says in words why it claims nothing just now; None where it does.
    """

    name: str
    host: str
    pid: int
    state: str
    slots: int
    running: int
    started_at: datetime
    lease_until: datetime
    ended_at: datetime | None
    trouble: str | None
    batch_id: str | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow(Answer):
    """How a source stands: when it was looked at, what it brought, what is not complete yet."""

    pipeline: str
    source: str
    kind: str
    looked_at: datetime | None
    took_at: datetime | None
    taken: int
    pending: int
    pending_since: datetime | None
    trouble: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Answer):
    """The state of a project at one moment; `workers` are those alive.

    `trouble` says in words why the store itself cannot be written just now; None where it can.
    """

    pipelines: Mapping[str, PipelineStatus]
    pools: Mapping[str, PoolStatus]
    workers: tuple[WorkerRow, ...]
    sources: tuple[SourceRow, ...] = ()
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRow(Answer):
    """One slot of a pool, and which attempt holds it. A retired one is not given out again."""

    pool: str
    slot: str
    pipeline: str | None
    item: str | None
    step: str | None
    worker: str | None
    host: str | None
    since: datetime | None
    is_retired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow(Answer):
    """Failed tasks of one step with one cause. `examples` are a few keys, `reason` one of theirs.

    Without a step: items in quarantine, with the reason why as their cause.
    """

    pipeline: str
    step: str | None
    cause: str
    n: int
    say: str | None
    do: str | None
    reason: str | None
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Why(Answer):
    """Why a task is not running. `kind` is one word for programs, `text` a sentence for people."""

    pipeline: str
    item: str
    step: str
    state: str
    kind: str
    text: str
    do: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening(Answer):
    """One thing that happened to an item or a task of it, by the journal."""

    at: datetime
    event: str
    step: str | None
    attempt: str | None
    by: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story(Answer):
    """All of an item: itself, its tasks by the order of their steps, attempts and happenings.

    `eta_s` and `eta_interval_s` as in `PipelineStatus`, until its last task ends.
    """

    item: ItemRow
    tasks: tuple[TaskRow, ...]
    attempts: tuple[AttemptRow, ...]
    happenings: tuple[Happening, ...] = field(default=())
    eta_s: float | None = None
    eta_interval_s: tuple[float, float] | None = None
