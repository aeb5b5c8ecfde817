"""One task of a plan, as planning makes it and drawing reads it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTask:
    """One task as it would go: from `start_s` to `end_s`, from now, in slots of a host, counted from 0."""

    pipeline: str
    item: str
    step: str
    start_s: float
    end_s: float
    host: str
    slots: tuple[int, ...]
