"""What reading verbs return of other sites: as `store/rows.py` has it of all else."""

from dataclasses import dataclass
from datetime import datetime

from stoker.model.encoding import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteStatus(Answer):
    """The state of an outpost: how many attempts are out there, and when it last answered.

    Of those `out`, `queued` had not begun when it last answered, at `answered_at`; `running` had.
    `bad` files there were damaged and are set aside; `orphans` are results that this store, which is a
    backup, does not know. `trouble` says why the visit at `visited_at` was not complete. `overdue`: silent for longer than
    the file allows. While it is `held` it is given nothing new.
    """

    site: str
    kind: str
    folder: str
    ssh: str | None
    out: int
    queued: int
    running: int
    held: bool
    held_by: str | None
    reason: str | None
    removed: bool
    visited_at: datetime | None
    answered_at: datetime | None
    free_bytes: int | None
    bad: int
    orphans: int
    trouble: str | None
    overdue: bool
    system: str | None
    pilots_waiting: int
    pilots_running: int
    system_trouble: str | None
