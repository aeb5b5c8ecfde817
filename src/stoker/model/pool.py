"""Pools: named slots that attempts share, and which numbers and names of slots are allowed."""

from collections.abc import Sequence
from dataclasses import dataclass

from stoker.model.bounds import POOL_SLOTS
from stoker.model.hours import Hours


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Named slots shared by all workers, or by those of each host; `slots` are their names in order.

    Attempts begin within `hours` only, and no more than `per_minute` in any minute.
    """

    name: str
    slots: tuple[str, ...]
    is_per_host: bool = False
    kind: str | None = None  # "gpu" sets CUDA_VISIBLE_DEVICES
    hours: Hours | None = None
    per_minute: int | None = None


def check_slot_count(n: int) -> None:
    """ValueError unless a pool may have so many slots."""
    if not POOL_SLOTS.holds(n):
        raise ValueError(
            f"a pool has 0 to {POOL_SLOTS.most:,} slots, not {n}; count it in larger pieces"
        )


def check_slot_names(names: Sequence[str]) -> None:
    """ValueError unless these can be the names of a pool's slots."""
    check_slot_count(len(names))
    if len(set(names)) < len(names):
        raise ValueError("two slots have the same name")
    for name in names:
        if not name or name != name.strip() or not name.isprintable():
            raise ValueError(f"invalid slot name `{name}`: remove the surrounding spaces")
        if name.startswith("-"):
            raise ValueError(f"invalid slot name `{name}`: it may not start with a dash")
