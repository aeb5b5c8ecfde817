"""Owns what is left of an attempt after which its task has failed for good: its error folder.

The worker knows that before the store does, as the rule is pure; the scratch is still there. Whatever
keeps the folder from being written, the failure is recorded.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from stoker.errors import OutputConflict, StokerError, UserError
from stoker.model import retry, transitions
from stoker.model.failure import Failure, remedy
from stoker.model.id_types import AttemptId
from stoker.model.task import Content, Wanted
from stoker.model.words import shown
from stoker.spec.values import Context
from stoker.work.checks import Ending
from stoker.work.delivery import Delivery, GivenUp
from stoker.work.desk import Desk
from stoker.work.error_folder import Remains, set_aside
from stoker.work.exit import Exit
from stoker.work.placing import hidden_beside
from stoker.work.room import is_full_error
from stoker.work.running import Running

if TYPE_CHECKING:
    from stoker.spec.error_folders import ErrorFolderPlan

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def keep_failure(
    running: Running, end: Exit, desk: Desk, ending: Ending
) -> tuple[str | None, Ending]:
    """Return where the error folder is, if there is one, and the ending, which says what went wrong.

    On a full disk the folder has the reason alone, if there is room for that. StaleAttempt if the
    task has moved on.
    """
    plan = running.recipe.error_folder
    if plan is None or not is_final(running, ending):
        return None, ending
    try:
        path = plan.path(Context(claimed=running.claimed, scratch=""))
        _set_aside(running, end, desk, ending, plan, path)
    except GivenUp:
        return None, ending
    except (OSError, OutputConflict, UserError) as problem:
        words = _words(problem)
        return None, ending._replace(reason=f"{ending.reason}; it has no error folder: {words}")
    return path, ending


def is_final(running: Running, ending: Ending) -> bool:
    """Whether the task has failed for good with this ending, as far as its worker knows."""
    tries = running.claimed.tries
    decision = retry.decide(running.recipe.step, ending.state, ending.verdict, tries=tries)
    return decision.transition is transitions.FAIL and not ending.is_cut


def _set_aside(
    running: Running, end: Exit, desk: Desk, ending: Ending, plan: "ErrorFolderPlan", path: str
) -> None:
    delivery = Delivery(running, desk, has_time_limit=False)
    failure = _failure(running, end, desk, ending)
    seat = running.seat
    whole = Remains(
        failure=failure,
        stdout=end.stdout.text,
        stderr=end.stderr.text,
        scratch=seat.scratch if seat is not None else None,
        left_out="the attempt had no scratch",
    )
    least = Remains(failure=failure, left_out="the disk was full")
    for remains in (whole, least):
        try:
            set_aside(
                remains,
                plan.spec,
                path,
                hidden=hidden_beside(path),
                notebook=desk.folder,
                record=_Record(running, desk, delivery),
                permit=delivery.permit,
            )
        except OSError as problem:
            if not is_full_error(problem) or remains is least:
                raise
        else:
            return


class _Record:
    """What the store has of the path; asked until it answers, while the lease lasts."""

    def __init__(self, running: Running, desk: Desk, delivery: Delivery) -> None:
        self._attempt = running.claimed.attempt
        self._task_id = running.claimed.task_id
        self._failures = desk.failures
        self._ask = delivery.ask

    def begin(self, names: Sequence[str]) -> None:
        """No other task of the item writes there until this attempt has ended."""
        self._ask(lambda: self._failures.begin_error_folder(self._attempt, self._task_id, names))

    def contents_of(self, paths: Sequence[str]) -> Mapping[str, Sequence[Content]]:
        """Return what may have been put at these paths for the item."""
        return self._ask(lambda: self._failures.error_contents_of(self._task_id, paths))

    def failed_beside(self) -> frozenset[AttemptId]:
        """Return the attempts after which other tasks of the item have failed for good."""
        return self._ask(lambda: self._failures.failed_beside(self._task_id))

    def reserve(self, wanted: Wanted) -> None:
        """The path is the item's."""
        self._ask(lambda: self._failures.reserve_error_folder(self._attempt, self._task_id, wanted))


def _failure(running: Running, end: Exit, desk: Desk, ending: Ending) -> Failure:
    claimed, begun = running.claimed, running.begun
    say, do = remedy(running.recipe.step, ending.cause)
    return Failure(
        pipeline=claimed.pipeline,
        item=claimed.key,
        step=claimed.step,
        attempt=str(uuid.UUID(bytes=claimed.attempt)),
        number=claimed.number,
        state=ending.state.word,
        reason=ending.reason,
        cause=ending.cause,
        say=say,
        do=do,
        exit_code=end.exit_code,
        signal=end.signal,
        command=running.command,
        path=claimed.path,
        params=dict(claimed.params),
        host=desk.host,
        claimed_at=_moment(claimed.claimed_us),
        started_at=_moment(end.started_us or (begun.started_us if begun is not None else 0)),
        ended_at=_moment(end.ended_us),
    )


def _moment(at_us: int) -> datetime | None:
    return _EPOCH + timedelta(microseconds=at_us) if at_us else None


def _words(problem: Exception) -> str:
    if isinstance(problem, OSError) and not isinstance(problem, StokerError):
        where = f" (`{problem.filename}`)" if problem.filename else ""
        return shown(f"{problem.strerror or problem}{where}")
    return shown(str(problem))
