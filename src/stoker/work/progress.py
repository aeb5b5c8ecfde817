"""What a worker reports to its observers, and what it says at its end."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """One attempt that runs now, or whose outputs are being published."""

    pipeline: str
    step: str
    key: str
    elapsed_s: float
    is_publishing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A snapshot of a worker, made at most ten times a second. `rate` counts ends per second.

    `crowding` is how many times over its cpus are promised to workers: see `Grant`.
    """

    done: int
    failed: int
    skipped: int
    cancelled: int
    running: tuple[Current, ...]
    queued: int
    rate: float
    elapsed_s: float
    is_stopping: bool = False
    trouble: str | None = None  # why nothing is claimed just now, if something is wrong
    crowding: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a worker did, from its start to its end. `failed` counts attempts, not tasks.

    `was_interrupted`: somebody stopped it before it was to end. For `crowded_s` it could not begin
    anything as other workers filled all cpus that it may use. `is_time_up`: the end of its term
    stopped it.
    """

    done: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0
    stale: int = 0
    elapsed_s: float = 0.0
    crowded_s: float = 0.0
    is_time_up: bool = False
    was_interrupted: bool = False
