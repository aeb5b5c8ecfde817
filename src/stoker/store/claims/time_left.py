"""Which tasks fit the time that a worker has left, by how long attempts of their steps have taken.

A worker without an end takes all. One that has an end begins only what nine of ten times is done by
then, and a task of which nothing is known only in the first half of its time.
"""

import math

from stoker.model.worker import TimeLeft
from stoker.store.forecasts.estimates import Book, book
from stoker.store.steps import StepEntry
from stoker.store.unit import Unit

SHARE = 0.9  # of attempts that end in time
FEW = 3  # attempts that have succeeded; with fewer nothing is known
AHEAD = 64  # tasks that are looked through for some that fit, where only some of a step do


def usual_factor(known: Book, step_id: int) -> float:
    """Return how many times its mean an attempt of the step may well take, on a host like the others."""
    return math.exp(known.fits[step_id].residual(SHARE))


class Fitting:
    """What fits into the time that a worker has left."""

    def __init__(self, unit: Unit, left: TimeLeft, host: str) -> None:
        self._left = left
        self._book = book(unit)
        self._speed = self._book.speeds.get(host, 1.0)

    def most(self, entry: StepEntry, limit: int) -> int:
        """Return how many tasks of the step to look at for `limit` that fit: none if none can."""
        if self._is_bounded(entry):
            return limit
        found = self._book.fits.get(entry.id)
        if found is None or found.n < FEW:
            return limit if self._left.is_early else 0
        seconds = (*found.expected.seconds, found.expected.without_size)
        factor = self._factor(entry.id)
        if max(seconds) * factor <= self._left.usable_s:
            return limit
        return max(limit, AHEAD) if min(seconds) * factor <= self._left.usable_s else 0

    def holds(self, entry: StepEntry, size_bytes: int | None) -> bool:
        """Whether a task of the step fits, by the size of its item."""
        if self._is_bounded(entry):
            return True
        needed_s = self.needed_s(entry, size_bytes)
        return self._left.is_early if needed_s is None else needed_s <= self._left.usable_s

    def needed_s(self, entry: StepEntry, size_bytes: int | None) -> float | None:
        """Return how long an attempt may well take here; None where too little is known."""
        found = self._book.fits.get(entry.id)
        if found is None or found.n < FEW:
            return None
        return found.seconds(size_bytes) * self._factor(entry.id)

    def _factor(self, step_id: int) -> float:
        return usual_factor(self._book, step_id) / self._speed

    def _is_bounded(self, entry: StepEntry) -> bool:
        """Whether its own limit ends an attempt in time, however long it would go on."""
        timeout_s = entry.spec.timeout_s if entry.spec is not None else None
        return timeout_s is not None and timeout_s <= self._left.usable_s
