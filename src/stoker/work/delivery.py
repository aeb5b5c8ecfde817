"""Owns the publishing of an attempt's outputs as a part of its end.

It runs in a thread, under the limits of the attempt: its time limit, a person's order, the stop of
its worker, the lease. A disk without room undoes nothing: outputs wait in the scratch until they can
be published.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from stoker.errors import OutputConflict, StaleAttempt, Unavailable
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Content, Published, Wanted
from stoker.model.words import shown
from stoker.work.checks import Ending, normalise
from stoker.work.desk import Desk
from stoker.work.outputs import OutputError, find_pieces, staged
from stoker.work.publish import publish
from stoker.work.room import is_full_error
from stoker.work.running import Running

RESERVE_AGAIN_S = 0.5
ROOM_AGAIN_S = 0.2
_T = TypeVar("_T")


def deliver(running: Running, desk: Desk, ending: Ending) -> tuple[tuple[Published, ...], Ending]:
    """Return what was published, and the ending: failed, with the reason, if something was not.

    StaleAttempt if the task has moved on.
    """
    claimed, seat, sitting = running.claimed, running.seat, running.sitting
    delivery = Delivery(running, desk)
    try:
        pieces = find_pieces(
            running.recipe.step,
            scratch=seat.scratch if seat is not None else "",
            made=sitting.made if sitting is not None else {},
            targets=sitting.targets if sitting is not None else {},
            own=seat.beside if seat is not None else (),
            demanded=ending.verdict is not Verdict.STOP,
        )
        staging = desk.staging(claimed)
        outputs = publish(
            pieces if staging is None else staged(pieces, staging),
            desk.folder,
            delivery,
            own=seat.folders if seat is not None else (),
            permit=delivery.permit,
            wait_for_room=delivery.wait_for_room,
        )
    except StaleAttempt:
        raise
    except GivenUp as order:
        return (), order.ending
    except OutputConflict as conflict:
        reason = shown(str(conflict))
        return (), Ending(AttemptState.FAILED, Verdict.FAIL, reason, "output_conflict")
    except OSError as problem:
        return (), desk.failure_of(claimed, problem)
    except OutputError as problem:
        cause = problem.__cause__
        if cause is not None and is_full_error(cause):
            return (), desk.failure_of(claimed, cause)
        reason = shown(str(problem))
        return (), Ending(
            AttemptState.FAILED, Verdict.RETRY, reason, normalise(reason, claimed.key)
        )
    return outputs, ending


class GivenUp(Exception):
    """The attempt is to end as `ending`, although it has something to publish."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


class Delivery:
    """One attempt's publishing: what it has to ask on its way.

    What the command left of its time limit is there for publishing. Waiting for a disk or for the
    store does not count.
    """

    def __init__(self, running: Running, desk: Desk, *, has_time_limit: bool = True) -> None:
        self._running = running
        self._desk = desk
        self._until_s: float | None = None
        begun, ended = running.begun, running.ended
        if has_time_limit and begun is not None and begun.deadline_s is not None:
            left_s = begun.deadline_s - (time.monotonic() if ended is None else ended.ended_s)
            self._until_s = time.monotonic() + max(left_s, 0.0)

    def permit(self) -> None:
        """Publishing may go on; StaleAttempt or GivenUp if it may not."""
        self._check_lease()
        ending = self._desk.broken_off_by(self._running.claimed)
        if ending is not None:
            raise GivenUp(ending)
        if self._until_s is not None and time.monotonic() > self._until_s:
            limit_s = self._running.recipe.step.timeout_s
            reason = f"it ran into its time limit of {limit_s:g} s while its outputs were published"
            raise GivenUp(
                Ending(AttemptState.TIMED_OUT, Verdict.RETRY, reason, "time limit reached")
            )

    def wait_for_room(self, folder: str) -> None:
        """There may be room in `folder` again.

        The attempt has done its work: what it made waits in the scratch. StaleAttempt if the lease
        runs out meanwhile; GivenUp if the attempt or its worker is to stop.
        """
        room = self._desk.room
        room.note(folder, "outputs")
        while room.is_full(folder):
            self._check_lease()
            ending = self._desk.ended_by(self._running.claimed)
            if ending is not None:
                raise GivenUp(ending)
            self._wait(ROOM_AGAIN_S)

    def contents_of(self, paths: Sequence[str]) -> Mapping[str, Sequence[Content]]:
        """Return what the task may have published at these paths; others' are left out."""
        task = self._running.claimed.task_id
        return self.ask(lambda: self._desk.contents_of(task, paths))

    def reserve(self, wanted: Sequence[Wanted]) -> None:
        """The task owns these paths; OutputConflict if it may not."""
        claimed = self._running.claimed
        self.ask(lambda: self._desk.reserve(claimed.attempt, claimed.task_id, wanted))

    def ask(self, ask: Callable[[], _T]) -> _T:
        """Return what the store says, asked again while it does not answer and the lease lasts.

        The attempt has done its work: neither a full disk of the store nor a lock undoes that.
        """
        while True:
            try:
                return ask()
            except Unavailable:
                self._check_lease()
                self._wait(RESERVE_AGAIN_S)

    def _check_lease(self) -> None:
        if not self._desk.is_held():
            raise StaleAttempt("the lease has run out; this attempt publishes nothing more")

    def _wait(self, pause_s: float) -> None:
        time.sleep(pause_s)
        if self._until_s is not None:
            self._until_s += pause_s
