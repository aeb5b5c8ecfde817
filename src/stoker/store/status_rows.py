"""What the verbs return that report how all of a project stands, as `store.rows` for lists."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from stoker.model.encoding import Answer
from stoker.store.batch_rows import BatchStatus
from stoker.store.site_rows import SiteStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStatus(Answer):
    """A table of values that is kept current: its rows, and why it could not be written, if so."""

    path: str
    rows: int
    written_at: datetime | None
    trouble: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineStatus(Answer):
    """The items and tasks of a pipeline by state; every state is listed, also with 0.

    `outdated` counts done tasks whose step has changed since. `eta_s` is None where nothing is left
    to do, no worker runs, or nothing is known of how long the steps take; in eight of ten cases the
    end comes within `eta_interval_s`. `error_folders` counts the items that have one. `groups` counts
    those of a pipeline of groups: `complete`, `waiting`, `overdue` ones that wait, and `outdated` ones
    that were complete before. `missing` counts the outputs that the last `verify` found missing.
    """

    items: Mapping[str, int]
    tasks: Mapping[str, int]
    steps: Mapping[str, Mapping[str, int]]
    outdated: int
    eta_s: float | None
    eta_interval_s: tuple[float, float] | None = None
    error_folders: int = 0
    tables: Mapping[str, TableStatus] = field(default_factory=dict)
    groups: Mapping[str, int] | None = None
    missing: int = 0


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

    `batch_id` is its batch job, as `CLUSTER:JOB.RESTART`, and `pilot` the pilot that it is; by
    `ends_at` it will be gone.

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
    pilot: str | None
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
class NotifyStatus(Answer):
    """Messages of one entry: the last one, how much waits for the next, why one did not arrive."""

    sent_at: datetime | None
    pending: int
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
    batch: Mapping[str, BatchStatus] = field(default_factory=dict)
    sites: Mapping[str, SiteStatus] = field(default_factory=dict)
    notify: Mapping[str, NotifyStatus] = field(default_factory=dict)
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
