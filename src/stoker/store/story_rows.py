"""What the verbs return that explain one item or one cause, as `store.rows` for lists."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from stoker.model.encoding import Answer
from stoker.store.batch_rows import PilotRow
from stoker.store.rows import AttemptRow, ItemRow, TaskRow


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow(Answer):
    """Failed tasks of one step with one cause. `examples` are a few keys, `reason` one of theirs.

    `error_folders` are the folders of those examples that have one. `first_at` and `last_at` are when
    the first and the last of them failed; null: unknown. Without a step: items in quarantine, with the
    reason why as their cause.
    """

    pipeline: str
    step: str | None
    cause: str
    n: int
    say: str | None
    do: str | None
    reason: str | None
    examples: tuple[str, ...]
    error_folders: tuple[str, ...] = ()
    first_at: datetime | None = None
    last_at: datetime | None = None


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
class JournalRow(Answer):
    """One row of the journal. `n` counts the tasks that it speaks of; `by` is the person who did it."""

    id: int
    at: datetime
    event: str
    pipeline: str | None
    item: str | None
    step: str | None
    attempt: str | None
    n: int
    by: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPage(Answer):
    """Rows, newest first; `before` asks for those before them, None where there are none."""

    rows: tuple[JournalRow, ...]
    before: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story(Answer):
    """All of an item: itself, its tasks by the order of their steps, attempts and happenings.

    `pilots` are those that its attempts ran in. `eta_s` and `eta_interval_s` as in `PipelineStatus`,
    until its last task ends.
    """

    item: ItemRow
    tasks: tuple[TaskRow, ...]
    attempts: tuple[AttemptRow, ...]
    happenings: tuple[Happening, ...] = field(default=())
    pilots: tuple[PilotRow, ...] = ()
    eta_s: float | None = None
    eta_interval_s: tuple[float, float] | None = None


class Said(NamedTuple):
    """A reason: one word for programs, a sentence for people, and what to do."""

    kind: str
    text: str
    do: str | None = None
