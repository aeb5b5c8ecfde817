"""What reading verbs return of groups."""

from dataclasses import dataclass
from datetime import datetime

from stoker.model.encoding import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow(Answer):
    """One group: `state` is `waiting` or `complete`, `item` the key of its item, if it has one.

    `over`, `failed` and `missing` count members; `outdated` those that changed after it was complete.
    `waits_for` says what it waits for beside its members, `trouble` why it can never be complete as
    it is.
    """

    pipeline: str
    source: str
    key: str
    state: str
    members: int
    over: int
    failed: int
    missing: int
    outdated: int
    overdue: bool
    item: str | None
    since: datetime | None
    completed_at: datetime | None
    waits_for: str | None
    trouble: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRow(Answer):
    """One member of a group; `is_changed` where it is not as it was when the group was complete."""

    item: str
    state: str
    reason: str | None
    is_changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStory(Answer):
    """A group with its members, in the order of their keys; `text` says in words how it stands."""

    group: GroupRow
    text: str
    members: tuple[MemberRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupClosed(Answer):
    """A group that a person completed as it is; `missing` members were expected and are not there."""

    pipeline: str
    key: str
    item: str | None
    members: int
    missing: int
    dry_run: bool
