"""An attempt in hand, from its claim's turn to the record of its end: what the worker knows of it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stoker.model.task import Claimed, Started
from stoker.work.checks import Ending
from stoker.work.recipe import Recipe
from stoker.work.slot import Place, Seat


@dataclass(slots=True, eq=False)
class Running:
    """One attempt. `release` gives back what it sat on, and says whether that is clean."""

    claimed: Claimed
    recipe: Recipe
    serial: int
    place: Place | None = None
    seat: Seat | None = None
    pid: int = 0
    command: str | None = None
    started_us: int = 0
    started_s: float = 0.0  # by the monotonic clock
    deadline_s: float | None = None
    stopped: Ending | None = None  # why the worker ends it
    kill_s: float | None = None  # when TERM has had its grace
    is_noted: bool = False  # whether the store knows pid and start
    made: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, str] = field(default_factory=dict)
    ended_s: float = 0.0
    publishing_us: int | None = None  # when its outputs began to be published
    is_publishing_noted: bool = False  # whether the store knows that
    peak_bytes: int = 0  # of memory, as far as it was seen while it ran
    release: "Callable[[Running, bool], None]" = lambda _running, _is_clean: None

    def begin(self, pid: int) -> None:
        """The process has been started just now."""
        self.pid = pid
        self.started_us = time.time_ns() // 1000
        self.started_s = time.monotonic()
        timeout_s = self.recipe.step.timeout_s
        self.deadline_s = None if timeout_s is None else self.started_s + timeout_s

    @property
    def shown(self) -> Started:
        """What the store shows of it while it runs."""
        return Started(
            attempt=self.claimed.attempt,
            pid=self.pid,
            started_us=self.started_us,
            command=self.command,
        )
