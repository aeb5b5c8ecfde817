"""Owns failures that may not be the attempt's own: stopping a worker often stops all it runs too.

A batch system signals every process of its job, a service manager every process of its group, and
a command may die, or give up with any exit code, before the worker has heard of it. So a failure
waits for a moment; if the worker is to stop by then, the attempt was stopped and has not failed.
"""

import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Result
from stoker.work.checks import Ending

DOUBT_S = 0.2
LONG_DOUBT_S = 1.0  # in a batch job, and where the end looks like that of a process asked to stop
_STOPS = frozenset(
    (
        signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
        signal.SIGXCPU,
    )
)  # fmt: skip


class Doubts:
    """Failures that wait. `is_batch_job`: all of them wait for long."""

    def __init__(self, *, is_batch_job: bool) -> None:
        self._brief_s = LONG_DOUBT_S if is_batch_job else DOUBT_S
        self._brief: deque[tuple[float, Result]] = deque()
        self._long: deque[tuple[float, Result]] = deque()

    def __bool__(self) -> bool:
        """Whether any failure waits."""
        return bool(self._brief or self._long)

    def due_s(self) -> float | None:
        """Return when the next one has waited for long enough, by the monotonic clock."""
        return min((queue[0][0] for queue in (self._brief, self._long) if queue), default=None)

    def sift(self, ended: Sequence[Result], stopped: Ending | None) -> list[Result]:
        """Take what has ended; return what is to be recorded now: all but failures, and those that waited.

        Where the worker is to stop, no failure waits, and each ends as `stopped`.
        """
        now_s = time.monotonic()
        found = []
        for result in ended:
            if not _is_failure(result):
                found.append(result)
            elif _looks_stopped(result):
                self._long.append((now_s + LONG_DOUBT_S, result))
            else:
                self._brief.append((now_s + self._brief_s, result))
        for queue in (self._brief, self._long):
            while queue and (stopped is not None or queue[0][0] <= now_s):
                _, result = queue.popleft()
                found.append(result if stopped is None else _as_stopped(result, stopped))
        return found


def _is_failure(result: Result) -> bool:
    return result.state is AttemptState.FAILED and result.verdict is not Verdict.LATER


def _looks_stopped(result: Result) -> bool:
    return result.signal in _STOPS or (result.exit_code or 0) - 128 in _STOPS


def _as_stopped(result: Result, stopped: Ending) -> Result:
    return replace(
        result,
        state=stopped.state,
        verdict=stopped.verdict,
        reason=stopped.reason,
        cause=stopped.cause,
    )
