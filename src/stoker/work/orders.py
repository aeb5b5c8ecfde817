"""Owns the orders to stop that the threads which conclude attempts have to obey."""

import time

from stoker.model.id_types import AttemptId
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Claimed
from stoker.work.checks import Ending
from stoker.work.term import Term

PUBLISH_S = 60.0  # that publishing gets to end by itself once the worker is to stop

CANCELLED = Ending(AttemptState.CANCELLED, Verdict.FAIL, "cancelled", "cancelled")
TAKEN = Ending(AttemptState.CANCELLED, Verdict.FAIL, "the task was taken away", "taken away")
TIME_UP = Ending(
    AttemptState.CANCELLED,
    Verdict.LATER,
    "its worker's time was up",
    "its worker's time was up",
)
STOPPED = Ending(AttemptState.CANCELLED, Verdict.LATER, "worker was stopped", "worker was stopped")


def cut_off(term: Term, ran_s: float) -> Ending:
    """Return the ending of an attempt that the end of a worker of this term cut off."""
    limit = f"{term.length_s / 3600:.3g}h" if term.length_s >= 3600 else f"{term.length_s:.0f}s"
    reason = (
        f"cut off after {ran_s:.0f}s by the end of its worker, which had {limit}: give workers "
        "more time, or set the step's `timeout`"
    )
    cause = "cut off by the end of its worker"
    return Ending(AttemptState.CANCELLED, Verdict.LATER, reason, cause, is_cut=True)


class Orders:
    """What one incarnation of a worker was ordered; asked from any thread."""

    def __init__(self) -> None:
        self._given_up: dict[AttemptId, Ending] = {}
        self._break_off_s: float | None = None  # from when on nothing more is published

    @property
    def is_stopping(self) -> bool:
        """Whether the worker is to end."""
        return self._break_off_s is not None

    def stop(self, *, within_s: float | None = None) -> None:
        """The worker is to end: nothing waits any more, and publishing has so long to end."""
        break_off_s = time.monotonic() + (PUBLISH_S if within_s is None else within_s)
        if self._break_off_s is None or break_off_s < self._break_off_s:
            self._break_off_s = break_off_s

    def break_off(self) -> None:
        """Nothing more is published."""
        self._break_off_s = 0.0

    def give_up(self, attempt: AttemptId, ending: Ending) -> None:
        """The attempt, whose process has ended, is to end as `ending`."""
        self._given_up[attempt] = ending

    def ended_by(self, claimed: Claimed) -> Ending | None:
        """Return why the attempt should wait for nothing any more, if it should not."""
        return STOPPED if self.is_stopping else self._given_up.get(claimed.attempt)

    def broken_off_by(self, claimed: Claimed) -> Ending | None:
        """Return why the attempt should not even publish what it made, if it should not."""
        if self._break_off_s is not None and time.monotonic() >= self._break_off_s:
            return STOPPED
        return self._given_up.get(claimed.attempt)
