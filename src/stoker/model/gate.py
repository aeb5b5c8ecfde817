"""When tasks that take of a pool may begin: in its hours, and not too many in a minute."""

from collections import deque
from dataclasses import dataclass

from stoker.model.hours import Hours

_MINUTE_S = 60.0
_DAYS = 400  # of hours that are looked through; what takes longer is said to end then


@dataclass(frozen=True, slots=True)
class Gate:
    """Hours and rate of one pool; seconds count from `now_us`, a moment since the epoch."""

    hours: Hours | None = None
    per_minute: int | None = None
    now_us: int = 0

    def opens_s(self, at_s: float) -> float:
        """Return the first moment from then on that is within the hours."""
        return at_s if self.hours is None else self._first(self.hours, at_s)

    def after_s(self, work_s: float) -> float:
        """Return when the hours have been open for so long; what runs when they end goes on."""
        if self.hours is None:
            return work_s
        closed = Hours(self.hours.end, self.hours.begin, self.hours.zone)
        at_s = self.opens_s(0.0)
        for _ in range(_DAYS):
            closes_s = self._first(closed, at_s)
            if work_s <= closes_s - at_s:
                break
            work_s -= closes_s - at_s
            at_s = self.opens_s(closes_s)
        return at_s + work_s

    def turns_s(self, n: int) -> float:
        """Return when the last of so many may begin at the earliest, as far as the rate goes."""
        return (n - 1) // self.per_minute * _MINUTE_S if self.per_minute and n else 0.0

    def _first(self, hours: Hours, at_s: float) -> float:
        at_us = self.now_us + round(at_s * 1e6)
        opens_us = hours.opens_us(at_us)
        return at_s if opens_us == at_us else (opens_us - self.now_us) / 1e6


class Turnstile:
    """A gate, and who went through lately."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._begun: deque[float] = deque(maxlen=gate.per_minute)

    def opens_s(self, now_s: float) -> float:
        """Return when the next may begin, as it looks now."""
        opens_s = self._gate.opens_s(now_s)
        if self._gate.per_minute is not None and len(self._begun) == self._gate.per_minute:
            return max(opens_s, self._begun[0] + _MINUTE_S)
        return opens_s

    def begin(self, now_s: float) -> None:
        """One has begun."""
        if self._gate.per_minute is not None:
            self._begun.append(now_s)
