"""Fair shares: whose turn it is, by what everybody has had of one worker's time.

Start-time fair queueing (Goyal, Vin, Cheng 1996), with what an attempt took in place of the length
of a packet. Each worker keeps its own ledger and so divides its own slots; together they divide all
of them, and no claim waits for another's book-keeping.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

_NEW_S = 1.0  # what an attempt is taken for as long as none of its group has ended
_WEIGHT = 0.2  # of a new duration in a group's running mean


class ShareBy(StrEnum):
    """The key of a group among those that share the slots."""

    USER = "user"  # who pushed the item
    PIPELINE = "pipeline"
    FILE = "file"  # the file that declares the pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How the slots are divided; with `by` None by order alone.

    `weights` has what a group gets in proportion to others, 1 where it is not named. `files` says
    for each pipeline which file declares it.
    """

    by: ShareBy | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def group(self, user: str, pipeline: str) -> str:
        """Return the group that a task belongs to; one and the same for all without shares."""
        match self.by:
            case ShareBy.USER:
                return user
            case ShareBy.PIPELINE:
                return pipeline
            case ShareBy.FILE:
                return self.files.get(pipeline, "")
            case None:
                return ""

    def weight(self, group: str) -> float:
        """Return what the group gets in proportion to others."""
        return self.weights.get(group, 1.0)


def parts_of_the_way(shares: Shares, work: Mapping[str, float]) -> dict[str, float]:
    """Return when each group is through with its work, in parts of the time that all take together.

    Everything is divided at every moment, by weight, between those that are not through.
    """
    whole, active = sum(work.values()), sum(map(shares.weight, work))
    ends: dict[str, float] = {}
    at = level = 0.0  # level: what a group of weight 1 has had by then
    for group in sorted(work, key=lambda one: work[one] / shares.weight(one)):
        weight = shares.weight(group)
        at += (work[group] / weight - level) * active
        level = work[group] / weight
        ends[group] = min(at / whole, 1.0) if whole else 1.0
        active -= weight
    return ends


@dataclass(slots=True)
class _Open:
    """An attempt that has not ended: what it is taken for, in seconds, until it takes longer."""

    group: str
    cpus: float  # over the group's weight
    taken_s: float
    began_us: int


@dataclass(slots=True)
class Ledger:
    """What each group has had of one worker, in cpu seconds over its weight.

    Who had nothing to do gains nothing by it: as it comes back, it stands where the least served of
    the others does.
    """

    had: dict[str, float] = field(default_factory=dict)
    means_s: dict[str, float] = field(default_factory=dict)
    waiting: frozenset[str] = frozenset()  # the groups that had tasks at the last claim
    open: dict[bytes, _Open] = field(default_factory=dict)

    def standing(self, groups: Iterable[str], now_us: int) -> dict[str, float]:
        """Return how much each of these groups, which have tasks now, has had; the least is next."""
        present = frozenset(groups)
        had = {group: self.had.get(group, 0.0) for group in present | self.waiting}
        for one in self.open.values():
            if one.group in had:
                took_s = max(one.taken_s, (now_us - one.began_us) / 1e6)
                had[one.group] += one.cpus * took_s
        busy = self.waiting | {one.group for one in self.open.values()}
        least = min((had[group] for group in busy & had.keys()), default=0.0)
        for group in present - busy:
            if had[group] < least:
                self.had[group] = self.had.get(group, 0.0) + least - had[group]
                had[group] = least
        self.waiting = present
        return {group: had[group] for group in present}

    def cost(self, shares: Shares, group: str, cpus: int) -> float:
        """Return by how much a group that gets one more task of this size is ahead then."""
        return cpus * self.means_s.get(group, _NEW_S) / shares.weight(group)

    def begin(self, shares: Shares, attempt: bytes, group: str, cpus: int, now_us: int) -> None:
        """The group has got an attempt; without shares nobody keeps account of it."""
        if shares.by is not None:
            taken_s = self.means_s.get(group, _NEW_S)
            self.open[attempt] = _Open(group, cpus / shares.weight(group), taken_s, now_us)

    def end(self, attempt: bytes, elapsed_s: float | None) -> None:
        """The attempt took so long; None: it never began."""
        one = self.open.pop(attempt, None)
        if one is None or elapsed_s is None:
            return
        mean = self.means_s.get(one.group)
        self.means_s[one.group] = elapsed_s if mean is None else mean + _WEIGHT * (elapsed_s - mean)
        self.had[one.group] = self.had.get(one.group, 0.0) + one.cpus * elapsed_s
