"""The states of tasks, attempts, items and workers, and how an item's state follows from its tasks.

States are small integers in the store and lower-case words everywhere else. The numbers are part of
the store's format: never renumber, only append.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Self


class State(IntEnum):
    """A state that is stored as a number and shown as a word."""

    @property
    def word(self) -> str:
        """The word for this state, as the command line, JSON and the documentation have it."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Self:
        """Return the state that `word` names; KeyError for any other word."""
        return cls[word.upper()]

    @classmethod
    def words(cls) -> tuple[str, ...]:
        """All words, in the order of the life of such a thing."""
        return tuple(state.word for state in cls)


class TaskState(State):
    """Where a task, that is one step of one item, stands."""

    BLOCKED = 0  # a predecessor is neither done nor skipped
    READY = 1  # may be claimed, once its `not_before` has passed
    RUNNING = 2  # carried by exactly one attempt, whose id the task carries
    HELD = 3  # not claimed until a person releases it, who or whose workers' time stopped it
    DONE = 4  # one attempt succeeded, and its outputs are where they belong
    SKIPPED = 5  # its condition is false; counts as done for its successors
    FAILED = 6  # no attempts are left
    CANCELLED = 7  # a person, or the removal of its step, ended it

    @property
    def is_satisfied(self) -> bool:
        """Whether successors may go ahead past a task in this state."""
        return self in (TaskState.DONE, TaskState.SKIPPED)

    @property
    def is_open(self) -> bool:
        """Whether the task may still run without anybody asking for it again."""
        return self in (TaskState.BLOCKED, TaskState.READY, TaskState.RUNNING, TaskState.HELD)


class AttemptState(State):
    """How one execution of a task stands or ended. All but `running` are final."""

    RUNNING = 0  # claimed by a worker that holds a lease
    SUCCEEDED = 1  # ended as the step's `exits` and checks want it
    FAILED = 2  # ended by a bad exit code, signal, error marker, check or publish
    TIMED_OUT = 3  # killed at the step's time limit
    OUT_OF_MEMORY = 4  # killed at the step's memory limit
    CANCELLED = 5  # stopped on a person's order, or found needless before it started
    LOST = 6  # its worker died or lost its lease


class ItemState(State):
    """How an item stands; follows from its tasks by `item_state`."""

    QUARANTINED = 0  # could not be taken at intake; has no tasks
    RUNNING = 1
    HELD = 2
    FAILED = 3
    CANCELLED = 4
    WAITING = 5  # something is ready, or blocked by something that will be
    DONE = 6


class WorkerState(State):
    """How one start of a worker process stands. A row is never reused by a later start."""

    ALIVE = 0  # renews its lease
    ENDED = 1  # said goodbye, holding nothing
    DEAD = 2  # its lease ran out, or its warden saw it die


class MemberState(State):
    """How a member of a group stands, up to the step that counts."""

    OPEN = 0  # something of it is ready, running, held, blocked, or not taken in
    DONE = 1
    SKIPPED = 2  # nothing was left to do for it
    FAILED = 3
    CANCELLED = 4

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it by itself."""
        return self is not MemberState.OPEN

    @property
    def is_bad(self) -> bool:
        """Whether a person has to do something for it to be done."""
        return self in (MemberState.FAILED, MemberState.CANCELLED)


class PilotState(State):
    """How a pilot, the batch job that brings a worker, stands."""

    WAITING = 0  # asked for: on its way to the batch system, or in its queue
    RUNNING = 1  # its job runs, or its worker has enlisted
    ENDED = 2  # ended in order; at its time limit, too
    LOST = 3  # pre-empted, requeued for good, killed, or on a node that died
    FAILED = 4  # ended without ever having worked
    REFUSED = 5  # not taken by the batch system, or never to be started by it
    CANCELLED = 6  # taken back, by Stoker or by somebody else

    @property
    def is_live(self) -> bool:
        """Whether its job exists, as far as anybody knows."""
        return self in (PilotState.WAITING, PilotState.RUNNING)


def item_state(tasks: Iterable[TaskState]) -> ItemState:
    """Return the state of an item with these tasks: the first rule that applies.

    Running, held, failed and cancelled each need one such task; waiting one that is ready or
    blocked; otherwise all are done or skipped, and so is the item.
    """
    present = set(tasks)
    for state, of_item in (
        (TaskState.RUNNING, ItemState.RUNNING),
        (TaskState.HELD, ItemState.HELD),
        (TaskState.FAILED, ItemState.FAILED),
        (TaskState.CANCELLED, ItemState.CANCELLED),
        (TaskState.READY, ItemState.WAITING),
        (TaskState.BLOCKED, ItemState.WAITING),
    ):
        if state in present:
            return of_item
    return ItemState.DONE
