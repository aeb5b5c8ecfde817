"""The state machine of a task: every change that may happen, in one table.

`store/apply.py` makes its guarded statements from this table and is the only writer of states; the
diagram in the documentation is drawn from it. A transition's name is also the event in the journal.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from stoker.model.states import AttemptState, TaskState

_BLOCKED, _READY, _RUNNING, _HELD = (
    TaskState.BLOCKED,
    TaskState.READY,
    TaskState.RUNNING,
    TaskState.HELD,
)
_DONE, _SKIPPED, _FAILED, _CANCELLED = (
    TaskState.DONE,
    TaskState.SKIPPED,
    TaskState.FAILED,
    TaskState.CANCELLED,
)


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of state that a task may make.

    `fenced` transitions count only while the task carries the attempt that asks for them.
    `attempt_ends` says in which states an attempt may end when its task makes this transition.
    `sets_back`: the task begins again, and no attempt of an earlier generation counts for it.
    """

    name: str
    sources: frozenset[TaskState]
    target: TaskState
    doc: str
    fenced: bool = False
    attempt_ends: frozenset[AttemptState] = frozenset()
    sets_back: bool = False


def _transition(
    name: str,
    sources: tuple[TaskState, ...],
    target: TaskState,
    doc: str,
    *,
    ends: Iterable[AttemptState] = (),
    sets_back: bool = False,
) -> Transition:
    """A row of the table; one that ends an attempt is fenced on it."""
    sources_, ends_ = frozenset(sources), frozenset(ends)
    return Transition(name, sources_, target, doc, bool(ends_), ends_, sets_back)


UNBLOCK = _transition(
    "unblock", (_BLOCKED,), _READY, "The last predecessor was done or skipped; its finish fires it."
)
BLOCK = _transition(
    "block",
    (_READY, _HELD, _DONE, _SKIPPED, _FAILED, _CANCELLED),
    _BLOCKED,
    "A predecessor is to run again, or a new step came before it; `rerun` and `apply` fire it.",
    sets_back=True,
)
CLAIM = _transition("claim", (_READY,), _RUNNING, "A worker took it with a new attempt.")
SUCCEED = _transition(
    "succeed",
    (_RUNNING,),
    _DONE,
    "Its attempt succeeded and the outputs are published; the worker fires it.",
    ends=(AttemptState.SUCCEEDED,),
)
SKIP = _transition(
    "skip",
    (_RUNNING,),
    _SKIPPED,
    "Its condition is false, or an exit code says so; the worker fires it.",
    ends=(AttemptState.SUCCEEDED, AttemptState.CANCELLED),
)
PASS_OVER = _transition(
    "pass_over",
    (_BLOCKED, _READY, _HELD),
    _SKIPPED,
    "A step of the same item ended it early (`stop`), so nothing that follows is needed.",
)
FAIL = _transition(
    "fail",
    (_RUNNING,),
    _FAILED,
    "Its attempt failed and no retry is left; its worker, or the one that reaps it, fires it.",
    ends=(
        AttemptState.FAILED,
        AttemptState.TIMED_OUT,
        AttemptState.OUT_OF_MEMORY,
        AttemptState.LOST,
    ),
)
REQUEUE = _transition(
    "requeue",
    (_RUNNING,),
    _READY,
    "Its attempt did not succeed but a retry is left; it waits until `not_before`.",
    ends=(
        AttemptState.FAILED,
        AttemptState.TIMED_OUT,
        AttemptState.OUT_OF_MEMORY,
        AttemptState.LOST,
        AttemptState.CANCELLED,
    ),
)
REQUEUE_BLOCKED = _transition(
    "requeue_blocked",
    (_RUNNING,),
    _BLOCKED,
    "Its attempt did not succeed but a retry is left; meanwhile a new step came before it.",
    ends=REQUEUE.attempt_ends,
)
STOP = _transition(
    "stop",
    (_RUNNING,),
    _CANCELLED,
    "A person's `cancel` reached the running attempt, which is gone; the worker fires it.",
    ends=(AttemptState.CANCELLED, AttemptState.LOST),
)
REVOKE = _transition(
    "revoke",
    (_RUNNING,),
    _BLOCKED,
    "A predecessor is to run again: the attempt is fenced off and its worker stops it.",
    ends=(AttemptState.CANCELLED,),
    sets_back=True,
)
REVOKE_READY = _transition(
    "revoke_ready",
    (_RUNNING,),
    _READY,
    "Changed content of the item makes the running attempt pointless; it is fenced off.",
    ends=(AttemptState.CANCELLED,),
    sets_back=True,
)
CANCEL = _transition(
    "cancel",
    (_BLOCKED, _READY, _HELD, _FAILED),
    _CANCELLED,
    "A person gave it up, or its step was removed from the pipeline.",
)
HOLD = _transition("hold", (_BLOCKED, _READY), _HELD, "A person stopped it from being claimed.")
CUT_OFF = _transition(
    "cut_off",
    (_RUNNING,),
    _HELD,
    "The end of its worker's time cut it off a second time; a person gives workers more time.",
    ends=(AttemptState.CANCELLED,),
)
LOSE_AGAIN = _transition(
    "lose_again",
    (_RUNNING,),
    _HELD,
    "It was lost with too many batch jobs, none of which was stopped in order; a person lets it go on.",
    ends=(AttemptState.LOST,),
)
RELEASE = _transition(
    "release", (_HELD,), _READY, "A person let it go on; it is due and nothing is before it."
)
RELEASE_BLOCKED = _transition(
    "release_blocked", (_HELD,), _BLOCKED, "A person let it go on, but a predecessor is not done."
)
RETRY = _transition(
    "retry",
    (_FAILED,),
    _READY,
    "A person wants it tried again, with a fresh allowance of retries.",
)
RETRY_BLOCKED = _transition(
    "retry_blocked",
    (_FAILED,),
    _BLOCKED,
    "A person wants it tried again; a new step came before it since, and is not done.",
)
RERUN = _transition(
    "rerun",
    (_READY, _DONE, _SKIPPED, _FAILED, _CANCELLED, _HELD),
    _READY,
    "A person, or changed content of the item, wants it done again.",
    sets_back=True,
)
ADOPT = _transition(
    "adopt",
    (_BLOCKED, _READY, _HELD, _FAILED, _CANCELLED),
    _DONE,
    "Its outputs were found at their published paths; `adopt` recorded them as an attempt.",
)

TRANSITIONS: tuple[Transition, ...] = (
    UNBLOCK,
    BLOCK,
    CLAIM,
    SUCCEED,
    SKIP,
    PASS_OVER,
    FAIL,
    REQUEUE,
    REQUEUE_BLOCKED,
    STOP,
    REVOKE,
    REVOKE_READY,
    CANCEL,
    HOLD,
    CUT_OFF,
    LOSE_AGAIN,
    RELEASE,
    RELEASE_BLOCKED,
    RETRY,
    RETRY_BLOCKED,
    RERUN,
    ADOPT,
)
BY_NAME = {transition.name: transition for transition in TRANSITIONS}
