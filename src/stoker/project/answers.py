"""The answers of verbs whose JSON is not the returned value itself: what changed, and was it real.

Lists and looks return rows (`stoker.store.rows`), whose fields are their JSON. Verbs that change
something return working counts; the dataclasses here are what programs get of those, from the command
line and over HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stoker.model.encoding import Answer
from stoker.spec.problems import Problem
from stoker.store.database.schema import Revision
from stoker.store.holdings.pools import PoolChange

if TYPE_CHECKING:
    from stoker.model.notify import Notify
    from stoker.project.running import RunSummary
    from stoker.project.verbs.adoption import Adopted
    from stoker.store.arrivals.counts import Registered
    from stoker.store.database.relocate import Relocated
    from stoker.store.database.upgrade import Upgraded
    from stoker.store.ends.redo import Changed
    from stoker.store.retention.counts import Pruned
    from stoker.store.status_rows import NotifyStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class PushAnswer(Answer):
    """How many items a push registered, and how many it did not, by reason.

    `failed` counts those of the known items that have failed; `keys` are those registered.
    """

    registered: int
    known: int
    changed: int
    quarantined: int
    conflicts: int
    refused: int
    failed: int
    keys: Sequence[str]

    @classmethod
    def of(cls, done: "Registered") -> "PushAnswer":
        """Return the answer for these counts."""
        return cls(
            registered=done.registered,
            known=done.known,
            changed=done.changed,
            quarantined=done.quarantined,
            conflicts=done.conflicts,
            refused=done.refused,
            failed=done.failed,
            keys=done.keys or (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAnswer(Answer):
    """Tasks that a verb changed, by transition, and those of the selection that it left, by state.

    `unknown` counts the names of a list that mean no item.
    """

    changed: Mapping[str, int]
    left: Mapping[str, int]
    examples: Sequence[str]
    dry_run: bool
    unknown: int = 0

    @classmethod
    def of(cls, done: "Changed", *, dry_run: bool) -> "ChangeAnswer":
        """Return the answer for these counts."""
        return cls(
            changed=done.changed,
            left=done.left,
            examples=done.examples,
            dry_run=dry_run,
            unknown=done.unknown,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptAnswer(Answer):
    """Tasks that were adopted, by step; how many had no output, or a wrong one.

    `without` counts, by step and output, adopted tasks whose optional output is not recorded; `bare`
    those that were adopted without any output, `unknown` the listed names that no item has.
    """

    adopted: Mapping[str, int]
    bare: int
    missing: int
    refused: int
    unknown: int
    without: Mapping[str, Mapping[str, int]]
    dry_run: bool

    @classmethod
    def of(cls, done: "Adopted", *, dry_run: bool) -> "AdoptAnswer":
        """Return the answer for these counts."""
        return cls(
            adopted=done.adopted,
            bare=done.bare,
            missing=done.missing,
            refused=done.refused,
            unknown=done.unknown,
            without=done.without,
            dry_run=dry_run,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyAnswer(Answer):
    """An entry of `[notify]`; of an Apprise URL the scheme alone, as the rest may be a secret."""

    name: str
    to: Sequence[str]
    on: Sequence[str]
    every_s: float
    sent_at: datetime | None
    pending: int
    trouble: str | None

    @classmethod
    def of(cls, entry: "Notify", status: "NotifyStatus | None") -> "NotifyAnswer":
        """Return the answer for an entry and how it stands."""
        return cls(
            name=entry.name,
            to=entry.shown,
            on=sorted(entry.on),
            every_s=entry.every_s,
            sent_at=status.sent_at if status else None,
            pending=status.pending if status else 0,
            trouble=status.trouble if status else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedAnswer(Answer):
    """A test message that was delivered."""

    name: str
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueAnswer(Answer):
    """A row of a table of values: what each column has, by its name."""

    columns: Mapping[str, Any]


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
class UserAnswer(Answer):
    """A user after the change; `role` is None for one that was removed."""

    name: str
    role: str | None
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkAnswer(Answer):
    """The address at which a user signs in once, within ten minutes."""

    name: str
    url: str
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAnswer(Answer):
    """A token. `token` is shown this once; None for one that was revoked, or not made."""

    name: str
    token: str | None
    dry_run: bool


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
