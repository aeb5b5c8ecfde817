"""An attempt in hand, from its claim's turn to the record of its end: what the worker knows of it.

What is known grows with the stage that the attempt is in, and each stage carries just that: an attempt that
waits has no process, one that has ended has no deadline any more that could be missed.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stoker.errors import Bug
from stoker.model.task import Claimed, Started
from stoker.work.checks import Ending
from stoker.work.recipe import Recipe
from stoker.work.slot import Place, Seat


@dataclass(slots=True, eq=False)
class Sitting:
    """What an attempt sits on: a seat, and its own place where it is a process of its own.

    `made` are the paths at which its tool writes its outputs, `targets` those to publish them at, both by
    name. `release` gives the seat back; the second argument says whether that is clean.
    """

    seat: Seat
    release: "Callable[[Sitting, bool], None]"
    place: Place | None = None
    made: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Waiting:
    """No process works on it."""


@dataclass(slots=True)
class Begun:
    """The process `pid` works on it. `started_s` and `deadline_s` are by the monotonic clock."""

    pid: int
    started_us: int
    started_s: float
    deadline_s: float | None = None
    peak_bytes: int = 0  # of memory, as far as it was seen
    is_noted: bool = False  # whether the store knows pid and start


@dataclass(slots=True)
class Stopping:
    """The worker ends it, as `ending`; at `kill_s` its process has had its grace."""

    begun: Begun
    ending: Ending
    kill_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    """Its processes are gone. `stopped` is why the worker ended it, if it did."""

    begun: Begun
    stopped: Ending | None
    ended_s: float


@dataclass(slots=True)
class Publishing:
    """Its outputs are being published, since `since_us`."""

    ended: Ended
    since_us: int
    is_noted: bool = False  # whether the store knows that


Stage = Waiting | Begun | Stopping | Ended | Publishing
WAITING = Waiting()


@dataclass(slots=True, eq=False)
class Running:
    """One attempt, the stage that it is in, and what it sits on."""

    claimed: Claimed
    recipe: Recipe
    serial: int
    stage: Stage = WAITING
    sitting: Sitting | None = None
    command: str | None = None

    @property
    def seat(self) -> Seat | None:
        """Its seat, if it has one."""
        return None if self.sitting is None else self.sitting.seat

    @property
    def place(self) -> Place | None:
        """Its place, if it is a process of its own."""
        return None if self.sitting is None else self.sitting.place

    @property
    def begun(self) -> Begun | None:
        """Its process; None if none has worked on it yet."""
        match self.stage:
            case Waiting():
                return None
            case Begun():
                return self.stage
            case Stopping() | Ended():
                return self.stage.begun
            case Publishing():
                return self.stage.ended.begun

    @property
    def process(self) -> Begun:
        """The same, of an attempt that has begun."""
        found = self.begun
        if found is None:
            raise Bug("an attempt that waits has no process")
        return found

    @property
    def stopped(self) -> Ending | None:
        """Why the worker ends it; None if it does not."""
        match self.stage:
            case Stopping():
                return self.stage.ending
            case Ended():
                return self.stage.stopped
            case Publishing():
                return self.stage.ended.stopped
            case _:
                return None

    @property
    def ended(self) -> Ended | None:
        """Its end; None while its processes may live."""
        match self.stage:
            case Ended():
                return self.stage
            case Publishing():
                return self.stage.ended
            case _:
                return None

    @property
    def publishing_us(self) -> int | None:
        """Since when its outputs are being published; None where they are not."""
        return self.stage.since_us if isinstance(self.stage, Publishing) else None

    @property
    def shown(self) -> Started:
        """What the store shows of it while it runs."""
        begun = self.process
        return Started(
            attempt=self.claimed.attempt,
            pid=begun.pid,
            started_us=begun.started_us,
            command=self.command,
        )

    def begin(self, pid: int) -> None:
        """The process has been started just now, or has come to this attempt."""
        started_s, timeout_s = time.monotonic(), self.recipe.step.timeout_s
        deadline_s = None if timeout_s is None else started_s + timeout_s
        begun = Begun(pid, time.time_ns() // 1000, started_s, deadline_s)
        if isinstance(self.stage, Stopping):
            self.stage.begun = begun  # it is to end all the same
        else:
            self.stage = begun

    def end(self) -> None:
        """Its processes are gone just now."""
        self.stage = Ended(self.process, self.stopped, time.monotonic())

    def publish(self) -> None:
        """Its outputs are published from now on."""
        if not isinstance(self.stage, Ended):
            raise Bug("only an attempt that has ended can publish")
        self.stage = Publishing(self.stage, time.time_ns() // 1000)

    def give_up_seat(self, *, is_clean: bool) -> None:
        """Others may sit there, if nothing of the attempt is left."""
        if self.sitting is not None:
            self.sitting.release(self.sitting, is_clean)
