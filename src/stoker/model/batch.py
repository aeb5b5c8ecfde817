"""Batch systems as `stoker.toml` describes them, and what is known of the pilots that they run.

A pilot is a batch job that brings a worker. Everything here is a plain value.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

BUILT_IN = ("slurm", "gridengine")
RECIPES = ("pbs", "lsf", "htcondor", "oar", "kubernetes")  # in `examples/batch-commands`
BY_COMMANDS = "commands"  # stands for the system of an entry that names commands
VERBS = ("submit", "status", "cancel")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSystem:
    """One `[batch.NAME]`. `tags` None: those of the workers on its hosts."""

    name: str
    system: str
    time_limit_s: float
    cpus: int = 1
    memory_bytes: int | None = None
    gpus: int = 0
    max_pilots: int = 10
    options: tuple[str, ...] = ()
    prepare: str | None = None
    tags: tuple[str, ...] | None = None
    ssh: str | None = None
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    site: str | None = None  # whose nodes it has, if not this one's

    @property
    def data(self) -> dict[str, Any]:
        """The same as plain JSON."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]  # a table

    @property
    def digest(self) -> str:
        """What changes with anything that the file says of it."""
        return hashlib.sha256(json.dumps(self.data, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How pilots are submitted and given up. The numbers are the same everywhere but in tests."""

    idle_s: float = 300.0  # without work, after which a pilot ends
    look_s: float = 60.0  # between two questions to a batch system
    missed_s: float = 60.0  # between two looks that both have to miss a job that is over
    arrive_s: float = 600.0  # in which a job whose submission nobody saw through may still turn up
    stuck_s: float = 600.0  # that a job may wait for a reason that never passes
    first_waiting: int = (
        2  # pilots that may wait at the beginning; doubled while they start at once
    )
    at_once_s: float = 120.0  # within which a pilot has started at once
    surplus_s: float = 60.0  # that more pilots than wanted may wait
    span_s: float = 3600.0  # in about which all that is ready is to be through
    start_up_s: float = 30.0  # of a pilot's time, before its first attempt
    young_s: float = 60.0  # in which a pilot that has done nothing has never worked
    back_off_s: tuple[float, ...] = (0.0, 60.0, 900.0, 1800.0, 3600.0)  # after so many in a row
    most_failed: int = 3  # in a row, before the batch system is held
    most_refused: int = 10
    again_s: float = 300.0  # after the cluster's limit was reached, before one more is tried
    excluded_s: float = 6 * 3600.0  # that a host is avoided on which three in a row failed
    before_maintenance_s: float = 60.0  # by which pilots are over when a maintenance begins
    least_s: float = 300.0  # that a pilot is asked for before one
    burst_s: float = 30.0  # that one visit may spend on submissions


_END_SHARE, _END_LEAST_S, _END_MOST_S = 0.05, 2.0, 60.0


def end_of_pilot_s(length_s: float) -> float:
    """Return how much of the time of a pilot, or of any worker, is kept for an end in order."""
    return min(max(_END_SHARE * length_s, _END_LEAST_S), _END_MOST_S, length_s / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A maintenance before which there is time for pilots of `time_s`, or for none (0).

    `behind` are the pilots that ask for more and wait for its end: they count for nothing meanwhile.
    """

    behind: frozenset[int]
    time_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Ready tasks with equal needs. `expected_s` is the mean, `well_s` what nine of ten stay below.

    Both are None where fewer than three attempts of the step have succeeded.
    """

    n: int
    cpus: int
    memory_bytes: int
    needs: frozenset[str] = frozenset()
    pools: Mapping[str, int] = field(default_factory=dict)
    expected_s: float | None = None
    well_s: float | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """A living worker that no pilot brought, as far as it matters for how many pilots are wanted."""

    slots: int
    memory_bytes: int
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """All that the number of pilots follows from, at one moment.

    `busy` has, for each attempt that runs in a pilot, the pilot's batch system, its cpus, and the
    seconds that it may still take. `pools` has the slots of pools that all hosts share; `closed` are
    those outside their hours.
    """

    loads: tuple[Load, ...] = ()
    crews: tuple[Crew, ...] = ()
    busy: tuple[tuple[str, int, float], ...] = ()
    pools: Mapping[str, int] = field(default_factory=dict)
    closed: frozenset[str] = frozenset()
