"""What a visit has done."""

from dataclasses import dataclass

from stoker.model.encoding import Answer


@dataclass(slots=True)
class Counts:
    """What a visit has done so far."""

    recorded: int = 0
    failed: int = 0
    lost: int = 0
    cancelled: int = 0
    given_back: int = 0
    sent: int = 0
    forgotten: int = 0
    removed: int = 0
    started: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Visited(Answer):
    """What a visit did: results `recorded`, of which `failed`; attempts lost, cancelled, sent out.

    `removed` are temporary outputs that were deleted there. `given_back` never began. `out` are there now; of these `waiting` have not begun. `more` says that
    something was left for the next visit.
    """

    site: str
    recorded: int
    failed: int
    lost: int
    cancelled: int
    given_back: int
    sent: int
    forgotten: int
    removed: int
    started: bool
    out: int
    waiting: int
    bad: int
    orphans: int
    free_bytes: int
    more: bool
