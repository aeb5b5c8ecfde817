"""Owns the orders to stop that the threads which conclude attempts have to obey."""

import time

from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import AttemptId, Claimed
from stoker.work.checks import Ending

PUBLISH_S = 60.0  # that publishing gets to end by itself once the worker is to stop

CANCELLED = Ending(AttemptState.CANCELLED, Verdict.FAIL, "cancelled", "cancelled")
TAKEN = Ending(AttemptState.CANCELLED, Verdict.FAIL, "the task was taken away", "taken away")
STOPPED = Ending(AttemptState.CANCELLED, Verdict.LATER, "worker was stopped", "worker was stopped")


class Orders:
    """What one incarnation of a worker was ordered; asked from any thread."""

    def __init__(self) -> None:
        self._given_up: dict[AttemptId, Ending] = {}
        self._break_off_s: float | None = None  # from when on nothing more is published

    @property
    def is_stopping(self) -> bool:
        """Whether the worker is to end."""
        return self._break_off_s is not None

    def stop(self) -> None:
        """The worker is to end: nothing waits any more, and publishing has a while to end."""
        if self._break_off_s is None:
            self._break_off_s = time.monotonic() + PUBLISH_S

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
