"""What reading verbs return: plain frozen dataclasses, and lists of them that data frames take.

Field names are those of the JSON of the command line. Times are aware `datetime`s in UTC, states are
words, paths are text in which surrogate escapes stand for bytes that are no UTF-8.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from stoker.model.encoding import Answer
from stoker.model.outpost import ran_on

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
    """One item. `item` is its key. `group` counts the members of one that is a group.

    `volume` is the key of the last volume that holds it, of one that is archived.
    """

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
    group: Mapping[str, int] | None = None
    volume: str | None = None


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
class VolumeOf(Answer):
    """A volume that holds a file: the key of the volume, and whether a later one holds a newer version."""

    pipeline: str
    volume: str
    superseded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow(Answer):
    """One attempt; `item` is the key of its item, `worker` its worker's name.

    `node` is where at an outpost it ran; elsewhere it is None, and `host` says where. `pilot` is the
    one that brought the worker. `cause` is what `failures` groups it by.
    """

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
    node: str | None
    pid: int | None
    batch_id: str | None
    pilot: str | None
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
    cause: str | None
    pipeline_version: int

    @property
    def ran_on(self) -> str | None:
        """Where it ran, as people read it; None if nobody knows."""
        return ran_on(self.host, self.node)

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
class MemberOf(Answer):
    """A member that a group was made of: the key of its item, and its newest attempt that counted."""

    item: str
    attempt: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MakerRow(AttemptRow):
    """The attempt that made a file, with the volumes that the file is in, the first first.

    `members` are those that a group had then, by key; None for what is no group, or where the journal
    says it no longer.
    """

    volumes: tuple[VolumeOf, ...] = ()
    members: tuple[MemberOf, ...] | None = None
