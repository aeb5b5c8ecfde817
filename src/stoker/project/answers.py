"""The answers of verbs whose JSON is not the returned value itself: what changed, and was it real.

Lists and looks return rows (`stoker.store.rows`), whose fields are their JSON. Verbs that change
something return working counts; the dataclasses here are what programs get of those, from the command
line and over HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stoker.model.encoding import Answer
from stoker.spec.problems import Problem
from stoker.store.database.schema import Revision
from stoker.store.holdings.pools import PoolChange

if TYPE_CHECKING:
    from stoker.project.adoption import Adopted
    from stoker.project.running import RunSummary
    from stoker.store.arrivals.counts import Registered
    from stoker.store.database.relocate import Relocated
    from stoker.store.database.upgrade import Upgraded
    from stoker.store.ends.redo import Changed
    from stoker.store.retention.counts import Pruned


@dataclass(frozen=True, slots=True, kw_only=True)
class PushAnswer(Answer):
    """How many items a push registered, and how many it did not, by reason."""

    registered: int
    known: int
    changed: int
    conflicts: int
    refused: int

    @classmethod
    def of(cls, done: "Registered") -> "PushAnswer":
        """Return the answer for these counts."""
        return cls(
            registered=done.registered,
            known=done.known,
            changed=done.changed,
            conflicts=done.conflicts,
            refused=done.refused,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAnswer(Answer):
    """Tasks that a verb changed, by transition, and those of the selection that it left, by state."""

    changed: Mapping[str, int]
    left: Mapping[str, int]
    examples: Sequence[str]
    dry_run: bool

    @classmethod
    def of(cls, done: "Changed", *, dry_run: bool) -> "ChangeAnswer":
        """Return the answer for these counts."""
        return cls(changed=done.changed, left=done.left, examples=done.examples, dry_run=dry_run)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptAnswer(Answer):
    """Tasks that were adopted, by step; how many had no output, or a wrong one.

    `without` counts, by step and output, adopted tasks whose optional output is not recorded.
    """

    adopted: Mapping[str, int]
    missing: int
    refused: int
    without: Mapping[str, Mapping[str, int]]
    dry_run: bool

    @classmethod
    def of(cls, done: "Adopted", *, dry_run: bool) -> "AdoptAnswer":
        """Return the answer for these counts."""
        return cls(
            adopted=done.adopted,
            missing=done.missing,
            refused=done.refused,
            without=done.without,
            dry_run=dry_run,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnswer(Answer):
    """The counts of items and tasks after a run, and how busy the slots were (None: too little ran)."""

    items: int
    tasks: int
    done: int
    failed: int
    skipped: int
    cancelled: int
    held: int
    blocked: int
    ready: int
    quarantined: int
    elapsed_s: float
    slots_busy: float | None
    worked_s: float | None
    equal_split_s: float | None

    @classmethod
    def of(cls, summary: "RunSummary") -> "RunAnswer":
        """Return the answer for this run."""
        return cls(**{name: getattr(summary, name) for name in cls.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneAnswer(Answer):
    """Counts of deleted records; `elsewhere` are log files that a worker on another host deletes."""

    dry_run: bool
    items: int
    tasks: int
    attempts: int
    streams: int
    log_files: int
    log_bytes: int
    elsewhere: int
    journal_rows: int
    condensed: int
    examples: Sequence[str]

    @classmethod
    def of(cls, done: "Pruned", *, dry_run: bool) -> "PruneAnswer":
        """Return the answer for these counts."""
        counts = {name: getattr(done, name) for name in cls.__slots__ if name != "dry_run"}
        return cls(dry_run=dry_run, **counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolAnswer(Answer):
    """The change of a pool; None where it had these slots already."""

    dry_run: bool
    change: PoolChange | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckAnswer(Answer):
    """Mistakes in `stoker.toml`, each with its place, and warnings about this host."""

    problems: Sequence[Problem]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeAnswer(Answer):
    """The schema before and after, with the steps between; `backup` is the file as it was before."""

    dry_run: bool
    before: str
    after: str
    steps: Sequence[Revision]
    backup: str | None
    dump_command: str | None

    @classmethod
    def of(cls, done: "Upgraded", *, dry_run: bool) -> "UpgradeAnswer":
        """Return the answer for this plan or upgrade."""
        return cls(
            dry_run=dry_run,
            before=done.before,
            after=done.after,
            steps=done.steps,
            backup=done.backup,
            dump_command=done.dump_command,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyAnswer(Answer):
    """A copy of the store: where to, and its rows by table; `replayed` items were compared."""

    dry_run: bool
    rows: int
    to: str
    tables: Mapping[str, int]
    replayed: int

    @classmethod
    def of(cls, done: "Relocated", *, dry_run: bool) -> "CopyAnswer":
        """Return the answer for this copy."""
        return cls(
            dry_run=dry_run,
            rows=done.rows,
            to=done.to,
            tables=done.tables,
            replayed=done.replayed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogText(Answer):
    """What is kept of a stream. `text` is None where it is on another host or was forgotten."""

    size_bytes: int
    truncated: bool
    path: str | None
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogAnswer(Answer):
    """An attempt with the text of its streams; one that was not asked for is None."""

    id: str
    pipeline: str
    item: str
    step: str
    number: int
    state: str
    host: str | None
    stdout: LogText | None
    stderr: LogText | None
