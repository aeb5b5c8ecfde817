"""What workers and the store tell each other beside tasks and results: plain values, all of them.

A worker may have the store behind a network, or behind a folder of files. Nothing here holds a
connection, a row or a function, so that all of it can be written down and read elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stoker.model.id_types import AttemptId
from stoker.model.lease_kind import LeaseKind
from stoker.model.shares import Ledger
from stoker.model.task import Claimed

StepKey = tuple[int, str]  # a pipeline's version and the name of a step


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWorker:
    """A worker that is about to enlist.

    It shares cpus and memory with the workers of its host that have the same `room_key`, but cpus
    only with those whose `cpu_mask` overlaps its own. It will have ended in `left_s`, and its attempts
    have `usable_s`; None: it has no end. `pilot` is the id of the pilot that brings it.
    """

    host: str
    name: str
    pid: int
    slots: int
    cpus: int
    memory_bytes: int
    scratch: str
    boot_id: str
    lease_s: float
    tags: tuple[str, ...] = ()
    room_key: str = ""
    cpu_mask: str = ""
    batch_id: str | None = None
    pilot: str | None = None
    left_s: float | None = None
    usable_s: float | None = None
    lease_kind: LeaseKind = LeaseKind.HEARTBEAT


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a worker learns when it renews its lease.

    `is_alive` False: it was declared dead, its attempts are lost, and it must kill them and begin
    again. `running`: what the store still counts as its own; all else it must kill. `cancel`: what
    it is asked to stop and report as cancelled.
    """

    is_alive: bool
    running: frozenset[AttemptId]
    cancel: frozenset[AttemptId]
    lease_until_us: int


@dataclass(frozen=True, slots=True)
class Reaped:
    """How many workers were declared dead and how many attempts were lost with such workers."""

    workers: int = 0
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class WorkLeft:
    """What there still is to do, for a worker that may end when nothing is left for it."""

    ready: bool  # tasks that can be claimed now by somebody
    running: bool  # attempts in hands, or one that has ended and still holds a pool's slot
    waiting: bool  # tasks in back-off, until a pool opens, or until they follow a new version

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is ready, running or in back-off."""
        return not (self.ready or self.running or self.waiting)

    @property
    def is_settled(self) -> bool:
        """Whether only a new worker, a new item or a person can change what is ready."""
        return not (self.running or self.waiting)


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """The time that a worker has left for attempts; `is_early`: it is in the first half of its own."""

    usable_s: float
    is_early: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """How much a worker wants from one claim, by its own measurements.

    It wants as many tasks as can start `at_once`, and beyond these as long as the expected time of all
    fits the horizon; a step without a mean counts as endless. All together need no more than
    `memory_bytes`, but the first is wanted in any case.
    """

    at_once: int
    memory_bytes: int
    horizon_s: float
    means_s: Mapping[StepKey, float]


class Filling:
    """One claim's portion while it fills: asked about each task in turn."""

    def __init__(self, portion: Portion) -> None:
        self._portion = portion
        self._count = 0
        self._total_s = 0.0
        self._memory_bytes = 0

    def wants(self, version: int, step: str, memory_bytes: int | None) -> bool:
        """Whether one more task is wanted, of this version's step and with this need of memory."""
        portion = self._portion
        self._total_s += portion.means_s.get((version, step), float("inf"))
        self._memory_bytes += memory_bytes or 0
        is_much = self._total_s > portion.horizon_s and self._count >= portion.at_once
        is_large = self._memory_bytes > portion.memory_bytes and self._count > 0
        self._count += 1
        return not (is_much or is_large)


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to a claim: tasks in the order in which they start, and the ledger as it is now.

    `is_crowded`: other workers fill all cpus that this one has free. `crowding` is how many times
    over the cpus of its place are promised to the workers that share them, and at least 1.
    """

    tasks: list[Claimed]
    ledger: Ledger
    is_crowded: bool
    crowding: float = 1.0
