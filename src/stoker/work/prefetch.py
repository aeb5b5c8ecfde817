"""Decides how many tasks to claim ahead: by expected time, never by count, and pure.

A worker that asks the store for each task alone spends more on asking than on short tasks. One that
holds many long tasks keeps them from workers that are free. So it claims ahead what it expects to
finish within a quarter of a second, going by its own measurements of each step; of a step that it
has not measured yet, only what can start at once.
"""

from dataclasses import dataclass, field
from math import inf

from stoker.model.worker import Portion, StepKey

HORIZON_S = 0.25
MOST = 512  # in one claim
_WEIGHT = 0.2  # of a new measurement in the running mean


@dataclass(slots=True)
class Appetite:
    """What one worker knows of its steps' durations, and how much it may take at a time."""

    slots: int
    means_s: dict[StepKey, float] = field(default_factory=dict)
    recent_s: float = inf

    def note(self, step: StepKey, elapsed_s: float) -> None:
        """An attempt of `step` held its slots for `elapsed_s`."""
        mean = self.means_s.get(step)
        self.means_s[step] = elapsed_s if mean is None else mean + _WEIGHT * (elapsed_s - mean)
        self.recent_s = self.means_s[step]

    def expected_s(self, step: StepKey) -> float:
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

    def portion(self, free: int, memory_bytes: int) -> Portion:
        """Return how much to take with one claim, with `free` slots."""
        return Portion(
            at_once=free,
            memory_bytes=memory_bytes,
            horizon_s=HORIZON_S * self.slots,
            means_s=self.means_s,
        )
