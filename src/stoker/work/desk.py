"""Owns what concluding needs beside the attempt, and the ending of one that the system failed."""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stoker.errors import StokerError
from stoker.model.id_types import AttemptId, TaskId
from stoker.model.member import Member
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Claimed, Content, Wanted
from stoker.model.words import shown
from stoker.rights import Rights
from stoker.work.checks import Ending, normalise
from stoker.work.room import Room, existing, is_full_error
from stoker.work.scratch import WorkerFolder

DISK_FULL = "disk full"  # the cause of attempts that found no room
HOST_SHORT = "the host is short of processes, memory or open files"
_HOST_SHORT = frozenset((errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM))


class Failures(Protocol):
    """The store, as far as error folders have to do with it."""

    def error_contents_of(
        self, task_id: TaskId, paths: Sequence[str]
    ) -> Mapping[str, Sequence[Content]]:
        """Return what tasks of the item may have left at these paths."""

    def failed_beside(self, task_id: TaskId) -> frozenset[AttemptId]:
        """Return the attempts after which other tasks of the item have failed for good."""

    def begin_error_folder(self, attempt: AttemptId, task_id: TaskId, names: Sequence[str]) -> None:
        """The item's error folder is to be at the path that these names lead to."""

    def reserve_error_folder(self, attempt: AttemptId, task_id: TaskId, wanted: Wanted) -> None:
        """The path is the item's error folder."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What concluding needs beside the attempt: the worker's folder, the logs, and the store."""

    folder: WorkerFolder
    host: str
    logs: str
    rights: Rights  # of the logs
    room: Room
    contents_of: Callable[[TaskId, Sequence[str]], Mapping[str, Sequence[Content]]]
    reserve: Callable[[AttemptId, TaskId, Sequence[Wanted]], None]
    failures: Failures
    is_held: Callable[[], bool]  # whether the worker's lease is
    # Why an attempt is not to wait for anything, and why it is not even to go on, if it is not.
    ended_by: Callable[[Claimed], Ending | None]
    broken_off_by: Callable[[Claimed], Ending | None]
    members_of: Callable[[Claimed, str], Sequence[Member]]  # of a group, after a key
    fail: Callable[[BaseException], None]  # the worker ends: one of its threads met this
    staging: Callable[[Claimed], str | None]  # where outputs wait, if others publish them

    def failure_of(self, claimed: Claimed, problem: BaseException) -> Ending:
        """Return the ending of an attempt that `problem` kept from starting or from its end."""
        ending = _failure_of(claimed, problem)
        if isinstance(problem, OSError) and problem.errno in _HOST_SHORT:
            return self._excused(claimed, ending, HOST_SHORT)
        if not isinstance(problem, OSError) or not is_full_error(problem):
            return ending
        folder = os.path.dirname(os.fsdecode(problem.filename or ""))
        self.room.note(existing(folder) if os.path.isabs(folder) else self.folder.path)
        return self.excused(claimed, ending)

    def excused(self, claimed: Claimed, ending: Ending) -> Ending:
        """Return the ending of an attempt that found a disk full: it comes again, within bounds."""
        return self._excused(claimed, ending, DISK_FULL)

    def _excused(self, claimed: Claimed, ending: Ending, cause: str) -> Ending:
        verdict = Verdict.LATER if self.room.excuses(claimed.task_id) else Verdict.RETRY
        return ending._replace(verdict=verdict, cause=cause)


def _failure_of(claimed: Claimed, problem: BaseException) -> Ending:
    """Return the ending of an attempt that `problem` kept from starting or from being concluded."""
    if isinstance(problem, OSError) and problem.strerror:
        where = f" (`{os.fsdecode(problem.filename)}`)" if problem.filename else ""
        reason = f"{problem.strerror}{where}"
    else:
        reason = str(problem) or type(problem).__name__
    reason = shown(reason)
    verdict = Verdict.FAIL if isinstance(problem, StokerError) else Verdict.RETRY
    return Ending(AttemptState.FAILED, verdict, reason, normalise(reason, claimed.key))
