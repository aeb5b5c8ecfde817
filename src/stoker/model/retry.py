"""What a task does after an attempt: which transition, and after how long a wait."""

from dataclasses import dataclass

from stoker.model import transitions
from stoker.model.pipeline import Step, Verdict
from stoker.model.states import AttemptState
from stoker.model.transitions import Transition

BACKOFF_LIMIT_S = 3600.0
MAX_LOST = 3
MOST_CUTS = 2
MOST_LOST = 6  # for one that was lost beside others which were lost as often, or with batch jobs
OF_BATCH_JOBS = (
    "held: it was lost {} times with its batch job, which did not end in order: pre-empted without "
    "notice, its node gone, or the task itself is what ends it"
)
APART_S = 10.0  # between the starts of such tasks; six times as long after each further loss


@dataclass(frozen=True, slots=True)
class Decision:
    """The transition to make, and what comes with it.

    The task may be claimed again after `wait_s`; `uses_retry` says whether the attempt counts
    against `retries`.
    """

    transition: Transition
    wait_s: float = 0.0
    uses_retry: bool = False

    def behind(self, waiting_on: int) -> "Decision":
        """Return the same for a task that waits for so many steps, which came before it meanwhile."""
        if waiting_on and self.transition is transitions.REQUEUE:
            return Decision(transitions.REQUEUE_BLOCKED, uses_retry=self.uses_retry)
        return self


def backoff_s(step: Step, earlier: int) -> float:
    """Seconds to wait after the attempt that had `earlier` before it: doubling, up to one hour."""
    return float(min(step.backoff_s * 2 ** min(earlier, 30), BACKOFF_LIMIT_S))


def decide(step: Step, state: AttemptState, verdict: Verdict, *, tries: int) -> Decision:
    """Return what follows an attempt that ended so, after `tries` earlier ones that used retries.

    A cancelled attempt is one that a person stopped; with the verdict `skip`, one whose condition
    was false; with `later`, one that its worker gave up on being stopped itself. Pure, so that the worker, a late delivery and the tests come to the same answer.
    """
    if state is AttemptState.SUCCEEDED:
        is_skip = verdict is Verdict.SKIP
        return Decision(transitions.SKIP if is_skip else transitions.SUCCEED)
    if state is AttemptState.CANCELLED:
        after = {Verdict.SKIP: transitions.SKIP, Verdict.LATER: transitions.REQUEUE}
        return Decision(after.get(verdict, transitions.STOP))
    if verdict is Verdict.LATER:
        return Decision(transitions.REQUEUE, backoff_s(step, tries))
    if verdict is Verdict.FAIL or tries >= step.retries:
        return Decision(transitions.FAIL, uses_retry=True)
    return Decision(transitions.REQUEUE, backoff_s(step, tries), uses_retry=True)


def decide_cut(*, times_cut: int) -> Decision:
    """Return what follows an attempt that a worker's end cut off, though it had much of its time.

    The second time it waits for a person: a third worker like these would not bring it to its end.
    """
    if times_cut < MOST_CUTS:
        return Decision(transitions.REQUEUE)
    return Decision(transitions.CUT_OFF)


def decide_lost(
    *,
    times_lost: int,
    cancel_requested: bool,
    before: int | None = None,
    is_batch_job: bool = False,
) -> Decision:
    """Return what follows an attempt whose worker died; `times_lost` counts this one too.

    A lost attempt does not use up a retry, but an item that takes its worker down `MAX_LOST` times
    is stopped: it may be what kills them. Where the worker ran several that may be, `before` says how
    many of them come before this one: then none is stopped, but they start again one after the
    other, so that the next death shows which it is; until that has been tried in vain.

    A batch job may be pre-empted or requeued without a signal before the kill, which is no fault of
    the task: it never fails for that. After `MOST_LOST` times it waits for a person, as it may be what
    ends the jobs.
    """
    if cancel_requested:
        return Decision(transitions.STOP)
    if times_lost < MAX_LOST:
        return Decision(transitions.REQUEUE)
    if times_lost >= MOST_LOST:
        return Decision(transitions.LOSE_AGAIN if is_batch_job else transitions.FAIL)
    if before is None:
        return Decision(transitions.REQUEUE if is_batch_job else transitions.FAIL)
    return Decision(transitions.REQUEUE, before * APART_S * 6 ** (times_lost - MAX_LOST))
