"""What reading verbs return of batch systems and pilots: as `store/rows.py` has it of all else."""

from dataclasses import dataclass
from datetime import datetime

from stoker.model.encoding import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus(Answer):
    """How a batch system stands: its pilots, how many the work wants, and when it last answered.

    `trouble` says why it did not answer at `asked_at`. While it is `held` nothing is submitted, nor
    until `not_before`; `reason` says why. `ceiling` is how many the cluster has let in.
    """

    system: str
    site: str | None
    running: int
    waiting: int
    wanted: int
    max_pilots: int
    held: bool
    held_by: str | None
    reason: str | None
    asked_at: datetime | None
    answered_at: datetime | None
    trouble: str | None
    not_before: datetime | None
    ceiling: int | None
    waits_for: str | None
    waiting_since: datetime | None
    cpus: int
    ends_first_at: datetime | None
    ends_last_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotRow(Answer):
    """One pilot: a job of a batch system that brings a worker. `done` counts tasks, as reported.

    While it waits or runs, `reason` is the batch system's own word; afterwards, how it ended.
    """

    id: str
    batch: str
    batch_id: str | None
    state: str
    reason: str | None
    host: str | None
    cpus: int
    memory_bytes: int | None
    submitted_at: datetime | None
    started_at: datetime | None
    ends_at: datetime | None
    ended_at: datetime | None
    done: int
