"""Owns how long a worker may go on: what ends it, when its attempts have to have ended, what fits."""

import os
import time
from dataclasses import dataclass
from typing import Self

from stoker.model.batch import end_of_pilot_s
from stoker.model.bounds import TIME_S
from stoker.work.scratch import process_start


@dataclass(frozen=True, slots=True)
class Term:
    """From `began_s` to `ends_s`, by the monotonic clock; by then the worker is gone.

    The last part is kept for an end in order: at `stops_s` what still runs is stopped.
    """

    began_s: float
    ends_s: float

    @classmethod
    def of(cls, length_s: float, *, began_s: float | None = None) -> Self:
        """Return the term of that length, from now or from `began_s`."""
        TIME_S.check("time_limit_s", length_s)
        began_s = time.monotonic() if began_s is None else began_s
        return cls(began_s, began_s + length_s)

    @property
    def length_s(self) -> float:
        """How long it is as a whole."""
        return self.ends_s - self.began_s

    @property
    def end_in_order_s(self) -> float:
        """How much of it is kept for the end."""
        return end_of_pilot_s(self.length_s)

    @property
    def stops_s(self) -> float:
        """When attempts have to have ended."""
        return self.ends_s - self.end_in_order_s

    @property
    def half_s(self) -> float:
        """The end of the first half of the time in which attempts run.

        An attempt that began before and was cut off by the end had much of what any worker like this
        one could give it. Attempts of unknown length begin before.
        """
        return (self.began_s + self.stops_s) / 2

    def usable_s(self) -> float:
        """Return how long an attempt that begins now may take."""
        return self.stops_s - time.monotonic()


def first_to_end(*terms: Term | None) -> Term | None:
    """Return the term that ends first; None without any."""
    return min(
        (term for term in terms if term is not None), key=lambda one: one.ends_s, default=None
    )


def process_began_s(pid: int | None = None) -> float:
    """Return when a process, by default this one, was started, by the monotonic clock."""
    started = process_start(pid or os.getpid())
    if started is None:
        return time.monotonic()
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - max(age_s, 0.0)
