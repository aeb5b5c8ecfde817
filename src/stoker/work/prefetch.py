"""Decides how many tasks to claim ahead: by expected time, never by count, and pure.

A worker that asks the store for each task alone spends more on asking than on short tasks. One that
holds many long tasks keeps them from workers that are free. So it claims ahead what it expects to
finish within a quarter of a second, going by its own measurements of each step; of a step that it
has not measured yet, only what can start at once.
"""

from dataclasses import dataclass, field
from math import inf

HORIZON_S = 0.25
MOST = 512  # in one claim
_WEIGHT = 0.2  # of a new measurement in the running mean


@dataclass(slots=True)
class Appetite:
    """What one worker knows of its steps' durations, and how much it may take at a time."""

    slots: int
    means_s: dict[object, float] = field(default_factory=dict)
    recent_s: float = inf

    def note(self, step: object, elapsed_s: float) -> None:
        """An attempt of `step` held its slots for `elapsed_s`."""
        mean = self.means_s.get(step)
        self.means_s[step] = elapsed_s if mean is None else mean + _WEIGHT * (elapsed_s - mean)
        self.recent_s = self.means_s[step]

    def expected_s(self, step: object) -> float:
        """Return how long an attempt of `step` takes; infinite as long as none has been seen."""
        return self.means_s.get(step, inf)

    def limit(self, free: int, queued_s: float) -> int:
        """Return how many tasks to ask for, with `free` slots and `queued_s` of work at hand.

        Nothing while more than half of the horizon is at hand, so that claims come in batches.
        """
        horizon_s = HORIZON_S * self.slots
        if self.recent_s * self.slots >= horizon_s:  # long tasks: only what can start
            return free if not queued_s else 0
        if queued_s > horizon_s / 2:
            return 0
        ahead = (horizon_s - queued_s) / max(self.recent_s, 1e-5)
        return max(free, min(int(ahead), MOST))

    def portion(self, free: int, memory_bytes: int) -> "Portion":
        """Return what decides about the tasks of one claim, with `free` slots."""
        return Portion(self, free, memory_bytes)


@dataclass(slots=True)
class Portion:
    """One claim's worth of tasks: asked about each in turn, it says whether it is wanted too.

    What can start at once is; beyond, as long as the expected time fits the horizon. All together
    need no more than `memory_bytes`, but the first is wanted in any case.
    """

    appetite: Appetite
    free: int
    memory_bytes: int
    _count: int = 0
    _total_s: float = 0.0
    _memory_bytes: int = 0

    def wants(self, version: int, step: str, memory_bytes: int | None) -> bool:
        """Whether one more task is wanted, of this version's step and with this need of memory."""
        self._total_s += self.appetite.expected_s((version, step))
        self._memory_bytes += memory_bytes or 0
        is_much = self._total_s > HORIZON_S * self.appetite.slots and self._count >= self.free
        is_large = self._memory_bytes > self.memory_bytes and self._count > 0
        self._count += 1
        return not (is_much or is_large)
